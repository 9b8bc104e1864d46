//! The graph of a document: what lies in what, and what aliases name. What it means is `constructor.rs`'s matter.

use super::scalar::Scalar;
use super::{MOST_DEPTH, MOST_NODES, Position, YamlError};

/// A document's nodes.
#[derive(Debug)]
pub struct Graph {
    nodes: Vec<Part>,
    /// How many there may be.
    most: usize,
    /// The node that is all of the document; none if there is nothing.
    pub root: Option<Id>,
}

/// A node's place in its graph.
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
    /// Nothing yet, and no more than so many nodes.
    pub fn new(most: usize) -> Self {
        Self {
            nodes: Vec::new(),
            most,
            root: None,
        }
    }

    /// How many nodes there are.
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

    /// Gives a node the content that was read since it was added.
    pub fn fill(&mut self, id: Id, content: Content) {
        if let Some(part) = self.nodes.get_mut(id.0) {
            part.content = content;
        }
    }
}

/// What is wrong with a node that has so many around it.
pub fn too_deep(position: Position) -> YamlError {
    YamlError::new(
        position,
        format!("sequences and mappings are nested more than {MOST_DEPTH} levels deep"),
    )
}

/// What is wrong with a text that has so many nodes before this.
pub fn too_many(position: Position) -> YamlError {
    YamlError::new(
        position,
        format!("the file contains more than {MOST_NODES} values: split it"),
    )
}
