//! The graph of a document: what lies in what, and what aliases name. What it means is `constructor.rs`'s matter.

use super::scalar::Scalar;
use super::{MOST_DEPTH, Position, YamlError};

/// A document's nodes.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Part>,
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
    pub fn part(&self, id: Id) -> Option<&Part> {
        self.nodes.get(id.0)
    }

    pub fn add(&mut self, content: Content, position: Position) -> Id {
        self.nodes.push(Part { content, position });
        Id(self.nodes.len() - 1)
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
        format!("lists and mappings lie more than {MOST_DEPTH} deep in one another"),
    )
}
