//! Reads plugins from documents. `workloads.rs` reads workloads, and `waypoints.rs` reads the objects that determine the
//! waypoint of a service. EnvoyFilters are counted, and all other objects are ignored.

use std::collections::{BTreeMap, BTreeSet};

use super::waypoints::Waypoints;
use super::workloads::Classes;
use super::{EnvoyFilters, File, Layer, Matching, Options, OrderError, Plugin, PluginId, Workload};
use crate::istio::LIST_IN_LIST;
use crate::istio::model::{MatchMode, Phase, Word};
use crate::istio::validate::url;
use crate::resource::TargetRef;
use crate::yaml::{Location, Node, Value};

/// The contents of the files.
#[derive(Default)]
pub(super) struct Read {
    pub plugins: Vec<Plugin>,
    pub workloads: Vec<Workload>,
    pub waypoints: Waypoints,
    pub envoy_filters: EnvoyFilters,
}

/// Reads all documents. The items of a `List` are treated as separate documents.
pub(super) fn read(files: &[File<'_>], options: &Options) -> Result<Read, OrderError> {
    let mut objects = Vec::new();
    let mut classes = Classes::default();
    for file in files {
        for document in file.documents {
            let reader = Reader { file, options };
            for object in reader.objects(&document.root)? {
                classes.learn(&reader, object)?;
                objects.push((reader, object));
            }
        }
    }
    let mut read = Read::default();
    let mut seen = BTreeSet::new();
    for (reader, object) in objects {
        read.waypoints.learn(&reader, object, &classes)?;
        if let Some(plugin) = reader.plugin(object)? {
            if !seen.insert(plugin.id.clone()) {
                return Err(OrderError::Twice {
                    location: reader.location(object.node),
                    id: plugin.id,
                });
            }
            read.plugins.push(plugin);
        } else if let Some(workload) = reader.workload(object, &classes)? {
            read.workloads.push(workload);
        } else if (object.group(), object.kind) == ("networking.istio.io", "EnvoyFilter") {
            read.envoy_filters.0 += 1;
        }
    }
    Ok(read)
}

/// Tracks the location of a document, and provides the defaults for what it does not specify.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    file: &'a File<'a>,
    options: &'a Options,
}

/// A document or an item of a list, with its API version and kind.
#[derive(Clone, Copy)]
pub(super) struct Object<'n> {
    pub node: &'n Node,
    pub kind: &'n str,
    api: &'n str,
}

/// Returns the items, if this is a list.
fn items(node: &Node) -> Option<&[Node]> {
    node.get("items").and_then(Node::items)
}

// === impl Object ===

impl<'n> Object<'n> {
    /// Returns the object's API group.
    pub fn group(self) -> &'n str {
        self.api.split_once('/').map_or("", |(group, _)| group)
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// Returns a document, or its items if it is a list. kubectl recognizes a list by its `items` field alone.
    fn objects<'n>(&self, root: &'n Node) -> Result<Vec<Object<'n>>, OrderError> {
        let list = self.object(root, None)?;
        let Some(items) = items(root) else {
            return Ok(vec![list]);
        };
        if let Some(item) = items.iter().find(|item| self::items(item).is_some()) {
            return Err(self.fault(item, LIST_IN_LIST));
        }
        let objects = items.iter().map(|item| self.object(item, Some(list)));
        objects.collect()
    }

    fn object<'n>(
        &self,
        node: &'n Node,
        list: Option<Object<'n>>,
    ) -> Result<Object<'n>, OrderError> {
        let api = self.text(node, "apiVersion")?.unwrap_or_default();
        let kind = self.text(node, "kind")?.unwrap_or_default();
        // The API server omits kind and version from the items if the kind of the list implies them.
        let inherited = list.filter(|_| api.is_empty() && kind.is_empty());
        Ok(match inherited {
            Some(list) => Object {
                node,
                api: list.api,
                kind: list.kind.strip_suffix("List").unwrap_or(list.kind),
            },
            None => Object { node, api, kind },
        })
    }

    pub fn fault(&self, node: &Node, what: impl Into<String>) -> OrderError {
        OrderError::Resource {
            location: self.location(node),
            what: what.into(),
        }
    }

    fn location(&self, node: &Node) -> Location {
        Location::new(self.file.name, Some(node.position))
    }

    /// Returns a string field, if it is present.
    pub fn text<'n>(&self, node: &'n Node, field: &str) -> Result<Option<&'n str>, OrderError> {
        match node.get(field) {
            None => Ok(None),
            Some(value) if value.is_null() => Ok(None),
            Some(value) => match value.text() {
                Some(text) => Ok(Some(text)),
                None => Err(self.fault(value, format!("`{field}` is not a string"))),
            },
        }
    }

    /// Returns the namespace and the name.
    pub fn name(&self, node: &Node) -> Result<(String, String), OrderError> {
        let metadata = node.get("metadata").unwrap_or(node);
        let name = self
            .text(metadata, "name")?
            .ok_or_else(|| self.fault(metadata, "the resource has no name"))?;
        let namespace = self.text(metadata, "namespace")?;
        Ok((
            namespace.unwrap_or(&self.options.namespace).to_owned(),
            name.to_owned(),
        ))
    }

    fn plugin(&self, object: Object<'_>) -> Result<Option<Plugin>, OrderError> {
        let node = object.node;
        let kind = match (object.group(), object.kind) {
            ("extensions.istio.io", "WasmPlugin") => "WasmPlugin",
            ("extensions.istio.io", "TrafficExtension") => "TrafficExtension",
            _ => return Ok(None),
        };
        let (namespace, name) = self.name(node)?;
        let spec = node
            .get("spec")
            .filter(|spec| spec.mapping().is_some())
            .ok_or_else(|| self.fault(node, "the resource has no `spec`"))?;
        let wasm = match kind {
            "WasmPlugin" => Some(spec),
            _ => spec.get("wasm"),
        };
        let created = node
            .get("metadata")
            .and_then(|it| it.get("creationTimestamp"));
        let selector = spec.get("selector").filter(|selector| !selector.is_null());
        Ok(Some(Plugin {
            id: PluginId {
                kind,
                namespace,
                name,
            },
            created: created.and_then(Node::text).map(str::to_owned),
            selector: selector
                .map(|selector| self.labels(selector.get("matchLabels")))
                .transpose()?,
            targets: self.targets(spec)?,
            dropped: wasm.map(|wasm| self.dropped(wasm)).transpose()?.flatten(),
            phase: self.phase(spec)?,
            priority: self.priority(spec)?,
            matches: self.matches(spec)?,
            layer: match wasm
                .map(|wasm| self.text(wasm, "type"))
                .transpose()?
                .flatten()
            {
                Some("NETWORK") => Layer::Network,
                _ => Layer::Http,
            },
        }))
    }

    /// Returns why istiod drops a plugin that the API server has admitted, if it does. `tidegate check` warns about the
    /// same problems.
    fn dropped(&self, wasm: &Node) -> Result<Option<String>, OrderError> {
        let Some(text) = self.text(wasm, "url")? else {
            return Ok(None);
        };
        if url::admit(text).is_err() {
            let node = wasm.get("url").unwrap_or(wasm);
            return Err(self.fault(node, "Istio does not admit this `url`"));
        }
        Ok(url::reference(text).err().map(|why| {
            format!("istiod cannot parse its url ({why}) and drops it; see `tidegate check`")
        }))
    }

    pub fn labels(&self, node: Option<&Node>) -> Result<BTreeMap<String, String>, OrderError> {
        let entries = node.and_then(Node::mapping).map(|it| it.entries.as_slice());
        let labels = entries.unwrap_or_default().iter().map(|entry| {
            let value = entry.value.text().ok_or_else(|| {
                let what = format!("the label `{}` is not a string: quote it", entry.key.name);
                self.fault(&entry.value, what)
            })?;
            Ok((entry.key.name.clone(), value.to_owned()))
        });
        labels.collect()
    }

    fn targets(&self, spec: &Node) -> Result<Vec<TargetRef>, OrderError> {
        let many = spec.get("targetRefs").and_then(Node::items);
        // The deprecated single field applies if the list is empty.
        let nodes: Vec<&Node> = match many.filter(|items| !items.is_empty()) {
            Some(items) => items.iter().collect(),
            None => spec.get("targetRef").into_iter().collect(),
        };
        let targets = nodes.into_iter().map(|node| {
            let text = |field| {
                self.text(node, field)?
                    .ok_or_else(|| self.fault(node, format!("the reference has no `{field}`")))
            };
            let group = self.text(node, "group")?.unwrap_or_default();
            Ok(TargetRef {
                group: if group == "core" { "" } else { group }.to_owned(),
                kind: text("kind")?.to_owned(),
                name: text("name")?.to_owned(),
            })
        });
        targets.collect()
    }

    fn phase(&self, spec: &Node) -> Result<Option<Phase>, OrderError> {
        match self.text(spec, "phase")? {
            None | Some("UNSPECIFIED_PHASE" | "UNSPECIFIED") => Ok(None),
            Some(word) => self.word(spec, "phase", word).map(Some),
        }
    }

    fn word<T: Word>(&self, node: &Node, field: &str, word: &str) -> Result<T, OrderError> {
        let found = T::ALL.iter().find(|(known, _)| *known == word);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = T::ALL.iter().map(|(word, _)| *word).collect();
            let what = format!(
                "unknown `{field}` `{word}`: expected one of {}",
                words.join(", ")
            );
            self.fault(node.get(field).unwrap_or(node), what)
        })
    }

    fn priority(&self, spec: &Node) -> Result<Option<i32>, OrderError> {
        let Some(node) = spec.get("priority").filter(|node| !node.is_null()) else {
            return Ok(None);
        };
        let number = match node.value {
            Value::Integer(number) => i32::try_from(number).ok(),
            _ => None,
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.fault(node, "`priority` is not a 32-bit integer")),
        }
    }

    fn matches(&self, spec: &Node) -> Result<Vec<Matching>, OrderError> {
        let items = spec.get("match").and_then(Node::items).unwrap_or_default();
        let matches = items.iter().map(|item| {
            let mode = match self.text(item, "mode")? {
                None | Some("UNDEFINED") => None,
                Some(word) => Some(self.word::<MatchMode>(item, "mode", word)?),
            };
            let ports = item.get("ports").and_then(Node::items).unwrap_or_default();
            let ports = ports
                .iter()
                .map(|port| match port.get("number").map(|it| &it.value) {
                    Some(Value::Integer(number)) => u16::try_from(*number).map_err(|_| {
                        self.fault(port, "the port's number is not between 1 and 65535")
                    }),
                    _ => Err(self.fault(port, "the port has no `number`")),
                });
            Ok(Matching {
                mode,
                ports: ports.collect::<Result<_, _>>()?,
            })
        });
        matches.collect()
    }
}
