//! Builds the tree that the API server receives from the graph of a document: resolves anchors, merges and duplicate keys.
//!
//! Limits are enforced here: on the depth, so that traversing the tree cannot overflow the stack, and on the expansion of
//! aliases, so that a small text cannot become a large tree. `scalar.rs` resolves scalars.

use std::collections::HashSet;
use std::sync::Arc;

use super::graph::{Content, Graph, Id, too_deep};
use super::scalar::{Resolved, Scalar};
use super::{
    Budget, Entry, Key, MOST_DEPTH, MOST_NODES, MOST_TEXT, Mapping, Node, Position, Value,
    YamlError,
};

type Result<T> = std::result::Result<T, YamlError>;

/// Above this number of nodes, Go's library rejects a document if more than a certain share of its nodes come from aliases.
const FEW_NODES: usize = 1000;
const FEW_ALIASED: usize = 100;

/// Up to this number of nodes the share is [`MOST_SHARE`], from the next constant on it is [`LEAST_SHARE`], and in between
/// it is interpolated.
const SMALL: usize = 400_000;
const LARGE: usize = 4_000_000;
const MOST_SHARE: f64 = 0.99;
const LEAST_SHARE: f64 = 0.10;

/// Builds the tree.
pub fn construct(graph: &Graph, budget: &mut Budget) -> Result<Option<Node>> {
    let Some(root) = graph.root else {
        return Ok(None);
    };
    let mut constructor = Constructor {
        graph,
        // The document itself counts as a node.
        nodes: 1,
        aliased: 0,
        open: HashSet::new(),
        budget,
    };
    let made = constructor.node(root, 0)?;
    match made.fault {
        Some(fault) => Err(*fault),
        None => Ok(Some(made.node)),
    }
}

struct Constructor<'a> {
    graph: &'a Graph,
    /// The number of nodes that were visited.
    nodes: usize,
    /// The number of nodes that were visited through an alias.
    aliased: usize,
    /// The aliases that are being expanded.
    open: HashSet<Id>,
    budget: &'a mut Budget,
}

/// Why a node cannot be sent to the API server. The error applies only if the node is not overwritten. It is boxed because
/// every field has one.
type Fault = Box<YamlError>;

/// A node and its error, if any.
struct Made {
    node: Node,
    fault: Option<Fault>,
}

/// The fields of a mapping that have been read so far.
#[derive(Default)]
struct Fields {
    fields: Vec<Field>,
    /// The error of a name that cannot be sent to the API server. It cannot be overwritten.
    fault: Option<Fault>,
}

struct Field {
    entry: Entry,
    /// The error of the value.
    fault: Option<Fault>,
    /// Whether the field comes from a merge, in which case it may be specified again.
    merged: bool,
}

// === impl Constructor ===

impl<'a> Constructor<'a> {
    fn part(&self, id: Id) -> Result<(&'a Content, Position)> {
        let part = self.graph.part(id);
        let part = part.map(|part| (&part.content, part.position));
        // All IDs belong to this graph.
        part.ok_or_else(|| YamlError::new(Position { line: 1, column: 1 }, "a node is missing"))
    }

    /// Builds a node at nesting depth `depth`. Each type of content has a separate function, which keeps this function's
    /// stack frame small: the recursion puts many of them on the stack.
    fn node(&mut self, id: Id, depth: usize) -> Result<Made> {
        let (content, position) = self.part(id)?;
        self.count(position)?;
        match content {
            Content::Scalar(scalar) => self.scalar(scalar, position),
            Content::Alias(target) => {
                self.open(id, position)?;
                let made = self.node(*target, depth);
                self.open.remove(&id);
                made
            }
            Content::Sequence(items) => self.sequence(items, position, deeper(depth, position)?),
            Content::Mapping(pairs) => {
                let mut fields = Fields::default();
                self.fields(pairs, false, deeper(depth, position)?, &mut fields)?;
                Ok(fields.finish(position))
            }
        }
    }

    fn scalar(&mut self, scalar: &Scalar, position: Position) -> Result<Made> {
        let resolved = resolve(scalar, position)?;
        self.copy(&scalar.text, position)?;
        let (value, fault) = match resolved.value(&scalar.text) {
            Ok(value) => (value, None),
            Err(message) => (Value::Null, Some(YamlError::new(position, message).into())),
        };
        let written = written(&resolved, &scalar.text);
        let node = Node {
            value,
            position,
            written,
        };
        Ok(Made { node, fault })
    }

    fn sequence(&mut self, items: &[Id], position: Position, depth: usize) -> Result<Made> {
        let mut fault = None;
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let made = self.node(*item, depth)?;
            fault = fault.or(made.fault);
            nodes.push(made.node);
        }
        let node = collection(Value::Sequence(nodes), position);
        Ok(Made { node, fault })
    }

    /// Records that an alias is being expanded. An alias must not be contained in the node that it refers to.
    fn open(&mut self, id: Id, position: Position) -> Result<()> {
        if !self.open.insert(id) {
            return Err(YamlError::new(
                position,
                "the anchor's value contains itself",
            ));
        }
        Ok(())
    }

    /// Adds the fields of a mapping to the existing ones.
    fn fields(
        &mut self,
        pairs: &[(Id, Id)],
        merged: bool,
        depth: usize,
        into: &mut Fields,
    ) -> Result<()> {
        for (key, value) in pairs {
            if let (Content::Scalar(scalar), position) = self.part(*key)?
                && scalar.merges()
            {
                self.merge(*value, position, depth, into)?;
                continue;
            }
            let key = self.key(*key)?;
            let made = self.node(*value, depth)?;
            match key {
                Ok(key) => into.fields.push(Field {
                    entry: Entry {
                        key,
                        value: made.node,
                    },
                    fault: made.fault,
                    merged,
                }),
                Err(fault) => into.fault = into.fault.take().or(Some(fault)),
            }
        }
        Ok(())
    }

    /// Returns the name of a key. Some invalid keys are errors only if their mapping is not overwritten.
    fn key(&mut self, id: Id) -> Result<std::result::Result<Key, Fault>> {
        let (content, position) = self.part(id)?;
        self.count(position)?;
        match content {
            Content::Scalar(scalar) => {
                let resolved = resolve(scalar, position)?;
                self.copy(&scalar.text, position)?;
                Ok(match resolved.name(&scalar.text) {
                    Ok(name) => Ok(Key {
                        written: written(&resolved, &scalar.text)
                            .filter(|written| **written != *name),
                        name,
                        position,
                    }),
                    Err(message) => Err(YamlError::new(position, message).into()),
                })
            }
            Content::Alias(target) if matches!(self.part(*target)?.0, Content::Scalar(_)) => {
                self.open(id, position)?;
                let key = self.key(*target);
                self.open.remove(&id);
                // The key is at the position of the alias.
                Ok(key?.map(|key| Key { position, ..key }))
            }
            _ => Err(YamlError::new(
                position,
                "a sequence or a mapping cannot be used as a key; quote it if it is a string",
            )),
        }
    }

    /// Handles `<<`: adds the fields of one or more mappings to this one. Earlier mappings take precedence, so they are
    /// added last.
    fn merge(
        &mut self,
        from: Id,
        position: Position,
        depth: usize,
        into: &mut Fields,
    ) -> Result<()> {
        let (content, _) = self.part(from)?;
        match content {
            Content::Sequence(items) => items
                .iter()
                .rev()
                .try_for_each(|item| self.merge_one(*item, position, depth, into)),
            _ => self.merge_one(from, position, depth, into),
        }
    }

    fn merge_one(
        &mut self,
        id: Id,
        position: Position,
        depth: usize,
        into: &mut Fields,
    ) -> Result<()> {
        let (content, place) = self.part(id)?;
        match content {
            Content::Mapping(pairs) => {
                self.count(place)?;
                self.fields(pairs, true, deeper(depth, place)?, into)
            }
            Content::Alias(target) if matches!(self.part(*target)?.0, Content::Mapping(_)) => {
                self.count(place)?;
                self.open(id, place)?;
                let merged = self.merge_one(*target, position, depth, into);
                self.open.remove(&id);
                merged
            }
            _ => Err(YamlError::new(
                position,
                "map merge requires a mapping or a sequence of mappings as the value of `<<`",
            )),
        }
    }

    /// Counts a visited node.
    fn count(&mut self, position: Position) -> Result<()> {
        self.nodes += 1;
        if !self.open.is_empty() {
            self.aliased += 1;
            self.budget.copied += 1;
        }
        let share = self.aliased as f64 / self.nodes as f64;
        let is_share =
            self.aliased > FEW_ALIASED && self.nodes > FEW_NODES && share > allowed(self.nodes);
        if is_share || self.budget.copied > MOST_NODES {
            return Err(too_much(position));
        }
        Ok(())
    }

    /// Counts text that occurs more than once.
    fn copy(&mut self, text: &str, position: Position) -> Result<()> {
        if !self.open.is_empty() {
            self.budget.text += text.len();
        }
        if self.budget.text > MOST_TEXT {
            return Err(too_much(position));
        }
        Ok(())
    }
}

// === impl Fields ===

impl Fields {
    /// Returns a mapping of the fields that are in effect, which are the last ones of each name, and their errors.
    fn finish(self, position: Position) -> Made {
        let mut names = HashSet::with_capacity(self.fields.len());
        // In reverse order, so that the last field of a name is found first.
        let counts: Vec<bool> = self
            .fields
            .iter()
            .rev()
            .map(|field| names.insert(field.entry.key.name.as_str()))
            .collect();
        drop(names);
        let mut fault = self.fault;
        let mut mapping = Mapping::default();
        for (field, counts) in self.fields.into_iter().zip(counts.into_iter().rev()) {
            if counts {
                fault = fault.or(field.fault);
                mapping.entries.push(field.entry);
            } else if !field.merged {
                mapping.overwritten.push(field.entry.key);
            }
        }
        let node = collection(Value::Mapping(mapping), position);
        Made { node, fault }
    }
}

fn collection(value: Value, position: Position) -> Node {
    Node {
        value,
        position,
        written: None,
    }
}

fn resolve(scalar: &Scalar, position: Position) -> Result<Resolved> {
    scalar
        .resolve()
        .map_err(|message| YamlError::new(position, message))
}

/// Returns the original text, if it was resolved to a type other than string.
fn written(resolved: &Resolved, text: &Arc<str>) -> Option<Arc<str>> {
    let is_text = matches!(resolved, Resolved::Text | Resolved::Decoded(_));
    (!is_text).then(|| Arc::clone(text))
}

fn deeper(depth: usize, position: Position) -> Result<usize> {
    if depth >= MOST_DEPTH {
        return Err(too_deep(position));
    }
    Ok(depth + 1)
}

/// Returns the share of `nodes` that may come from aliases.
fn allowed(nodes: usize) -> f64 {
    let above = nodes.saturating_sub(SMALL).min(LARGE - SMALL) as f64;
    MOST_SHARE - (MOST_SHARE - LEAST_SHARE) * (above / (LARGE - SMALL) as f64)
}

fn too_much(position: Position) -> YamlError {
    YamlError::new(
        position,
        "document contains excessive aliasing: write some of it out",
    )
}
