//! The common parts of all Kubernetes resources: the module with its URL, the name, the namespace.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use tidegate_deploy::configuration::Way;
use tidegate_deploy::istio::model::PullPolicy;
use tidegate_deploy::resource::{Label, Metadata, Name, Namespace, Scope, TargetRef};
use tidegate_deploy::source::{ImageReference, Source};
use tidegate_host::EngineKind;
use tidegate_oci::{Digest, Reference};

use super::{Ready, word};
use crate::file;
use crate::plugin::{self, PluginArg, usage};
use crate::registry::sha256;

#[derive(Args)]
pub(super) struct ResourceArgs {
    /// The plugin. PLUGIN is a file, `-` for stdin, or an `oci://` reference. CONFIG is the
    /// configuration itself, or `@FILE` to read it from a file
    #[arg(value_name = plugin::SYNTAX)]
    plugin: PluginArg,

    /// URL of the module: an image (`oci://REGISTRY/REPOSITORY[:TAG][@sha256:…]`, printed by `tidegate push`), a download
    /// (`https://…`, `http://…`) or, in Istio, a file in the proxy (`file:///PATH`). Required if the plugin is a local file
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Digest of the image manifest, as printed by `tidegate push`. Required for an image unless the URL contains it
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<Digest>,

    /// `metadata.name` of the resource. Default: the name of the plugin
    #[arg(long)]
    name: Option<Name>,

    /// Namespace of the resource. Default: omitted, so that kubectl uses the namespace of its context
    #[arg(long)]
    namespace: Option<Namespace>,

    /// Root ID (`pluginName` in Istio): selects a plugin if the module contains several
    #[arg(long, value_name = "NAME")]
    pub plugin_name: Option<String>,

    /// The file to write; `-` for stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// How an image is pulled.
#[derive(Args)]
pub(super) struct ImageArgs {
    /// Name of the pull secret, of type `kubernetes.io/dockerconfigjson`
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Option<Name>,

    /// When to pull the image. Has no effect if the image is pinned by digest and already cached
    #[arg(long, value_name = "POLICY", value_parser = word::<PullPolicy>())]
    pub image_pull_policy: Option<PullPolicy>,
}

/// The workloads that a resource of Istio applies to.
#[derive(Args)]
pub(super) struct ScopeArgs {
    /// Apply only to pods with this label. Repeat the option, or separate labels with commas: pods must have all of them
    #[arg(
        long,
        value_name = "KEY=VALUE",
        value_delimiter = ',',
        conflicts_with = "target_ref"
    )]
    selector: Vec<Label>,

    /// Attach to this resource: `Gateway/NAME`, `GatewayClass/NAME`, `Service/NAME` or `ServiceEntry/NAME`. Repeat the option, or
    /// separate resources with commas
    #[arg(long, value_name = "KIND/NAME", value_delimiter = ',')]
    target_ref: Vec<TargetRef>,
}

/// The module of a resource, with its metadata and its source.
pub(super) struct Module {
    pub ready: Ready,
    pub metadata: Metadata,
    pub source: Source,
}

// === impl ResourceArgs ===

impl ResourceArgs {
    /// Reads the plugin. `way` determines how its configuration is passed.
    pub fn module(&self, way: Way) -> anyhow::Result<Module> {
        let plugins = plugin::read(std::slice::from_ref(&self.plugin), &[])?;
        let plugin = plugins.first().context("no plugin was read")?;
        if let Some(image) = &plugin.image
            && plugin.kind == EngineKind::Component
        {
            bail!(
                "`{image}` contains a component, and Envoy loads only modules: push the component with `tidegate push`, which adapts it"
            );
        }
        let given = self.sha256.as_ref();
        let url = match (&self.url, &plugin.image) {
            (Some(url), None) => url.clone(),
            (None, Some(image)) => image.to_string(),
            (Some(_), Some(image)) => {
                return Err(usage(format!(
                    "`--url` cannot be used with the image `{image}`, whose URL and digest are used: remove `--url`"
                )));
            }
            (None, None) => {
                return Err(usage(format!(
                    "`--url` is required, because proxies cannot read the local file `{}`. Push it with `tidegate push`. Then pass the reference that it prints, either instead of the file or with `--url`",
                    plugin.place
                )));
            }
        };
        let ready = Ready::new(plugin, way)?;
        let source = source(&url, given, &ready.facts.sha256)?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let own = ready.own_name.as_deref().unwrap_or(&plugin.name);
                Name::like(own).context(
                    "the plugin's name is not a valid resource name: set one with --name",
                )?
            }
        };
        Ok(Module {
            ready,
            metadata: Metadata {
                name,
                namespace: self.namespace.clone(),
            },
            source,
        })
    }

    /// Writes the resource.
    pub fn write(&self, yaml: &str) -> anyhow::Result<()> {
        file::write(&self.output, yaml.as_bytes())
    }
}

// === impl ImageArgs ===

impl ImageArgs {
    /// The pull secret, if the module is an image.
    pub fn pull_secret(&self, source: &Source) -> anyhow::Result<Option<String>> {
        if self.image_pull_secret.is_some() && !matches!(source, Source::Image { .. }) {
            return Err(usage(format!(
                "`--image-pull-secret` has no effect on `{}`, which is fetched without credentials: remove it, or push the plugin as an image",
                source.url()
            )));
        }
        Ok(self.image_pull_secret.as_ref().map(Name::to_string))
    }
}

// === impl ScopeArgs ===

impl ScopeArgs {
    pub fn scope(&self) -> Scope {
        if !self.target_ref.is_empty() {
            return Scope::Targets(self.target_ref.clone());
        }
        if self.selector.is_empty() {
            return Scope::Everything;
        }
        let labels = self.selector.iter();
        Scope::Selector(
            labels
                .map(|it| (it.key.clone(), it.value.clone()))
                .collect(),
        )
    }
}

/// The source of the module. References to images are parsed as in `push` and `check`.
fn source(url: &str, sha256: Option<&Digest>, module: &str) -> anyhow::Result<Source> {
    let given = sha256.map(|digest| digest.hex().to_owned());
    if !url.starts_with("oci://") {
        return Ok(Source::parse(url, given, module)?);
    }
    let image: Reference = url
        .parse()
        .with_context(|| format!("invalid URL `{url}`"))?;
    let reference = ImageReference {
        repository: format!("{}/{}", image.registry(), image.repository()),
        tag: image.tag().map(str::to_owned),
        digest: image.digest().map(|digest| digest.hex().to_owned()),
    };
    Ok(Source::image(reference, given, module)?)
}
