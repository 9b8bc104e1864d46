//! The plugins that scenarios refer to: those of the workspace, and files.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tidegate_host::EngineKind;
use tidegate_testkit::scenario::Plugin;
use tidegate_testkit::{RuntimeKind, Scenario};

use crate::place::Place;
use crate::plugin::{self, description};
use crate::project::{How, Project};
use crate::{file, logs};

/// The plugins that scenarios refer to, ready to run.
pub struct Plugins {
    wasm: HashMap<String, Wasm>,
    files: HashMap<PathBuf, Wasm>,
}

/// A plugin in the formats that runtimes load.
struct Wasm {
    /// `None` if the plugin is a Proxy-Wasm module.
    component: Option<Bytes>,
    module: Bytes,
}

/// The origin of plugins that are not files.
pub enum Origin<'a> {
    /// Packages of a workspace, which are built.
    Project(&'a Project, &'a How),
    /// The plugin under test.
    Given(&'a Given),
}

/// A plugin that is not built by this command.
pub struct Given {
    /// The name in its metadata, or that of the file or image.
    pub name: String,
    place: Place,
    bytes: Bytes,
}

// === impl Given ===

impl Given {
    pub fn fetch(place: &Place) -> anyhow::Result<Self> {
        let bytes = place.fetch()?.bytes;
        let own = tidegate_adapter::inspect(&bytes)
            .ok()
            .and_then(|it| it.name);
        Ok(Self {
            name: own.unwrap_or_else(|| place.stem()),
            place: place.clone(),
            bytes: bytes.into(),
        })
    }
}

// === impl Plugins ===

impl Plugins {
    /// Builds and reads all plugins that these scenarios refer to, so that cargo's messages precede the results of tests.
    pub fn of(scenarios: &[Scenario], origin: &Origin<'_>) -> anyhow::Result<Self> {
        let mut plugins = Self {
            wasm: HashMap::new(),
            files: HashMap::new(),
        };
        for scenario in scenarios {
            for plugin in scenario.all_plugins() {
                plugins.add(scenario, plugin, origin).with_context(|| {
                    format!("cannot load the plugin of {}", scenario.file.display())
                })?;
            }
        }
        Ok(plugins)
    }

    fn add(
        &mut self,
        scenario: &Scenario,
        plugin: &Plugin,
        origin: &Origin<'_>,
    ) -> anyhow::Result<()> {
        if let Some(path) = path(scenario, plugin) {
            if let Entry::Vacant(place) = self.files.entry(path) {
                let path = place.key();
                let wasm = Wasm::new(file::read(path)?.into(), path.display())?;
                place.insert(wasm);
            }
            return Ok(());
        }
        if self.wasm.contains_key(&plugin.guest) {
            return Ok(());
        }
        let wasm = match origin {
            Origin::Project(project, how) => {
                let built = project.sibling(&plugin.guest)?.build(how)?;
                Wasm::new(built.bytes, built.path.display())?
            }
            // Cargo writes the package `my-plugin` as `my_plugin.wasm`.
            Origin::Given(given)
                if plugin.guest.replace('-', "_") == given.name.replace('-', "_") =>
            {
                Wasm::new(given.bytes.clone(), &given.place)?
            }
            Origin::Given(given) => bail!(
                "`guest: {0}` is not the plugin under test, `{1}`; to use a file, write `guest: ./{0}.wasm`",
                plugin.guest,
                given.name
            ),
        };
        self.wasm.insert(plugin.guest.clone(), wasm);
        Ok(())
    }

    /// The plugin's bytes for a runtime.
    pub fn bytes(
        &self,
        scenario: &Scenario,
        plugin: &Plugin,
        runtime: RuntimeKind,
    ) -> anyhow::Result<Bytes> {
        let wasm = self
            .find(scenario, plugin)
            .context("the plugin was not built")?;
        match runtime {
            RuntimeKind::Component => wasm.component.clone().with_context(|| {
                format!(
                    "`{}` is a Proxy-Wasm module, and this runtime runs components",
                    plugin.guest
                )
            }),
            RuntimeKind::ProxyWasm | RuntimeKind::Envoy(_) => Ok(wasm.module.clone()),
        }
    }

    /// The reason why a scenario's plugins cannot run in a runtime.
    pub fn unfit(&self, scenario: &Scenario, runtime: RuntimeKind) -> Option<String> {
        let is_module = |plugin: &&Plugin| {
            self.find(scenario, plugin)
                .is_some_and(|wasm| wasm.component.is_none())
        };
        let module = scenario.all_plugins().find(is_module)?;
        (runtime == RuntimeKind::Component)
            .then(|| format!("`{}` is a Proxy-Wasm module, not a component", module.guest))
    }

    fn find(&self, scenario: &Scenario, plugin: &Plugin) -> Option<&Wasm> {
        match path(scenario, plugin) {
            Some(path) => self.files.get(&path),
            None => self.wasm.get(&plugin.guest),
        }
    }
}

/// The path of the file that a scenario refers to.
fn path(scenario: &Scenario, plugin: &Plugin) -> Option<PathBuf> {
    let folder = scenario.file.parent().unwrap_or(Path::new("."));
    plugin.file().map(|file| folder.join(file))
}

// === impl Wasm ===

impl Wasm {
    fn new(bytes: Bytes, place: impl fmt::Display) -> anyhow::Result<Self> {
        logs::detail(|| format!("plugin `{place}`: {}", description(&bytes)));
        match EngineKind::detect(&bytes) {
            Some(EngineKind::ProxyWasm) => Ok(Self {
                component: None,
                module: bytes,
            }),
            Some(EngineKind::Component) => {
                let module = plugin::adapt(&bytes, &tidegate_adapter::Options::default())
                    .with_context(|| format!("cannot adapt `{place}`"))?;
                Ok(Self {
                    component: Some(bytes),
                    module: module.into(),
                })
            }
            None => bail!("`{place}` is not a WebAssembly binary"),
        }
    }
}
