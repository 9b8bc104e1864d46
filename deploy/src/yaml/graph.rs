//! The graph of a document: the nesting of nodes and the targets of aliases. `constructor.rs` interprets it.

use super::scalar::Scalar;
use super::{MOST_DEPTH, MOST_NODES, Position, YamlError};

/// The nodes of a document.
#[derive(Debug)]
pub struct Graph {
    nodes: Vec<Part>,
    /// The maximum number of nodes.
    most: usize,
    /// The root node of the document. `None` if the document is empty.
    pub root: Option<Id>,
}

/// The index of a node in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(usize);

#[derive(Debug)]
pub struct Part {
    pub content: Content,
    pub position: Position,
}

#[derive(Debug)]
pub enum Content {
    Scalar(Scalar),
    Alias(Id),
    Sequence(Vec<Id>),
    /// Keys and values.
    Mapping(Vec<(Id, Id)>),
}

// === impl Graph ===

impl Graph {
    /// Creates an empty graph with at most `most` nodes.
    pub fn new(most: usize) -> Self {
        Self {
            nodes: Vec::new(),
            most,
            root: None,
        }
    }

    /// Returns the number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn part(&self, id: Id) -> Option<&Part> {
        self.nodes.get(id.0)
    }

    pub fn add(&mut self, content: Content, position: Position) -> Result<Id, YamlError> {
        let id = Id(self.nodes.len());
        if id.0 >= self.most {
            return Err(too_many(position));
        }
        self.nodes.push(Part { content, position });
        Ok(id)
    }

    /// Sets the content of a node that was added earlier.
    pub fn fill(&mut self, id: Id, content: Content) {
        if let Some(part) = self.nodes.get_mut(id.0) {
            part.content = content;
        }
    }
}

/// Returns the error for a node that is nested too deeply.
pub fn too_deep(position: Position) -> YamlError {
    YamlError::new(
        position,
        format!("sequences and mappings are nested more than {MOST_DEPTH} levels deep"),
    )
}

/// Returns the error for a text with too many nodes before this position.
pub fn too_many(position: Position) -> YamlError {
    YamlError::new(
        position,
        format!("the file contains more than {MOST_NODES} values: split it"),
    )
}
