//! The tree that the API server gets, out of a document's graph: anchors, merges, keys that come twice.
//!
//! What is bounded is bounded here: depth, so that nothing that walks the tree runs out of stack, and what aliases stand for, so
//! that a small text does not become a large tree. What a scalar means is `scalar.rs`'s matter.

use std::collections::HashSet;
use std::sync::Arc;

use super::graph::{Content, Graph, Id, too_deep};
use super::scalar::{Resolved, Scalar};
use super::{
    Budget, Entry, Key, MOST_DEPTH, MOST_NODES, MOST_TEXT, Mapping, Node, Position, Value,
    YamlError,
};

type Result<T> = std::result::Result<T, YamlError>;

/// Go's library refuses a document of more nodes than these if more than a share of them come from aliases.
const FEW_NODES: usize = 1000;
const FEW_ALIASED: usize = 100;

/// Up to so many nodes the share is [`MOST_SHARE`], from so many [`LEAST_SHARE`], and between them in between.
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
        // The document is one.
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
    /// How many nodes were looked at.
    nodes: usize,
    /// How many of them because of an alias.
    aliased: usize,
    /// The aliases that are open.
    open: HashSet<Id>,
    budget: &'a mut Budget,
}

/// Why the API server cannot get a node. That counts only if the node is not overwritten. There is one for every field, so that it
/// is small.
type Fault = Box<YamlError>;

/// A node, and what is wrong with it.
struct Made {
    node: Node,
    fault: Option<Fault>,
}

/// The fields of a mapping so far.
#[derive(Default)]
struct Fields {
    fields: Vec<Field>,
    /// A name that the API server cannot get. Nothing overwrites it.
    fault: Option<Fault>,
}

struct Field {
    entry: Entry,
    /// What is wrong with its value.
    fault: Option<Fault>,
    /// Came with a merge, so that it is no mistake if it is written again.
    merged: bool,
}

// === impl Constructor ===

impl<'a> Constructor<'a> {
    fn part(&self, id: Id) -> Result<(&'a Content, Position)> {
        let part = self.graph.part(id);
        let part = part.map(|part| (&part.content, part.position));
        // Every id is one of this graph's.
        part.ok_or_else(|| YamlError::new(Position { line: 1, column: 1 }, "a node is missing"))
    }

    /// What a node is, `depth` deep in others. Its parts have functions of their own, so that its frame is small: there are many of them
    /// on the stack.
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

    /// Notes that an alias is being read. It must not be within what it stands for.
    fn open(&mut self, id: Id, position: Position) -> Result<()> {
        if !self.open.insert(id) {
            return Err(YamlError::new(
                position,
                "the anchor's value contains itself",
            ));
        }
        Ok(())
    }

    /// Adds a mapping's fields to those that are there.
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

    /// What a key is called. Some keys are wrong only if their mapping counts.
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
                // The name is here.
                Ok(key?.map(|key| Key { position, ..key }))
            }
            _ => Err(YamlError::new(
                position,
                "a sequence or a mapping cannot be used as a key; quote it if it is a string",
            )),
        }
    }

    /// `<<`: the fields of a mapping or of several become this one's. Of several the earlier ones win, so they come last.
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

    /// Counts a node that is looked at.
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

    /// Counts text that is there more than once.
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
    /// A mapping of the fields that count, of each name the last, and what is wrong with them.
    fn finish(self, position: Position) -> Made {
        let mut names = HashSet::with_capacity(self.fields.len());
        // From the end, so that the last one is met first.
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

/// What was written, if it became something else than a string.
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

/// The share of so many nodes that may come from aliases.
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
