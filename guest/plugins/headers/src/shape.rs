//! Reads a configuration by a table of its fields, instead of by a type for each object.
//!
//! Code that serde derives takes about a kilobyte for each struct, a table takes some bytes for each field. The tables are in
//! [`fields`](crate::fields). They are also the source of the JSON Schema and of the reference page, see
//! `schema.rs`.

use std::fmt;

use plugin_matching::{Condition, StringMatcher};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What a value may be.
pub enum Shape {
    /// A string.
    Text,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// A non-negative integer.
    Integer,
    /// `true` or `false`.
    Bool,
    /// An array.
    List(&'static Shape),
    /// An object with these fields.
    Object(&'static Fields),
    /// An object with exactly one of these fields.
    OneOf(&'static Fields),
    /// A condition on requests.
    Condition,
    /// A matcher of strings.
    Matcher,
}

/// The fields of an object.
pub struct Fields {
    /// What the object is called in the schema.
    #[cfg(test)]
    pub title: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Fields of former versions, and what replaces them.
    pub former: &'static [(&'static str, &'static str)],
}

/// A field of an object.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub shape: &'static Shape,
    /// Its description.
    #[cfg(test)]
    pub about: &'static str,
    /// Whether it must be given.
    #[cfg(test)]
    pub required: bool,
}

/// A value of a configuration. It has the shape by which it was read.
#[derive(Debug)]
pub enum Tree {
    /// Of [`Shape::Text`] and [`Shape::Word`].
    Text(String),
    /// Of [`Shape::Integer`].
    Integer(u64),
    /// Of [`Shape::Bool`].
    Bool(bool),
    /// Of [`Shape::List`].
    List(Vec<Tree>),
    /// Of [`Shape::Object`] and [`Shape::OneOf`], in the order of the configuration.
    Object(Vec<(&'static str, Tree)>),
    /// Of [`Shape::Condition`].
    Condition(Box<Condition>),
    /// Of [`Shape::Matcher`].
    Matcher(StringMatcher),
}

impl<'de> DeserializeSeed<'de> for &'static Shape {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        let visitor = Reader(self);
        match self {
            Shape::Text | Shape::Word(_) => deserializer.deserialize_str(visitor),
            Shape::Integer => deserializer.deserialize_u64(visitor),
            Shape::Bool => deserializer.deserialize_bool(visitor),
            Shape::List(_) => deserializer.deserialize_seq(visitor),
            Shape::Object(_) | Shape::OneOf(_) => deserializer.deserialize_map(visitor),
            Shape::Condition => {
                Condition::deserialize(deserializer).map(|it| Tree::Condition(Box::new(it)))
            }
            Shape::Matcher => StringMatcher::deserialize(deserializer).map(Tree::Matcher),
        }
    }
}

struct Reader(&'static Shape);

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Shape::Text | Shape::Word(_) => "a string",
            Shape::Integer => "a non-negative integer",
            Shape::Bool => "true or false",
            Shape::List(_) => "an array",
            _ => "an object",
        })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        if let Shape::Word(words) = self.0
            && !words.contains(&value)
        {
            let mut reason = String::from("expected ");
            push_names(&mut reason, words.iter());
            return Err(E::custom(reason));
        }
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        if let Shape::List(shape) = self.0 {
            while let Some(element) = elements.next_element_seed(*shape)? {
                list.push(element);
            }
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut object: Vec<(&'static str, Tree)> = Vec::new();
        if let Shape::Object(fields) | Shape::OneOf(fields) = self.0 {
            while let Some(field) = entries.next_key_seed(Key(fields, &object))? {
                let value = entries.next_value_seed(field.shape)?;
                object.push((field.name, value));
            }
            if matches!(self.0, Shape::OneOf(_)) && object.len() != 1 {
                let mut reason = String::from("expected exactly one of the fields ");
                push_names(&mut reason, fields.fields.iter().map(|field| &field.name));
                return Err(A::Error::custom(reason));
            }
        }
        Ok(Tree::Object(object))
    }
}

/// Finds a field by its name.
struct Key<'a>(&'static Fields, &'a [(&'static str, Tree)]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = &'static Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = &'static Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<&'static Field, E> {
        let Key(fields, seen) = self;
        if seen.iter().any(|(other, _)| *other == name) {
            return Err(E::custom("given twice"));
        }
        if let Some(field) = fields.fields.iter().find(|field| field.name == name) {
            return Ok(field);
        }
        if let Some((_, reason)) = fields.former.iter().find(|(former, _)| *former == name) {
            return Err(E::custom(reason));
        }
        let mut reason = String::from("unknown field, expected ");
        push_names(&mut reason, fields.fields.iter().map(|field| &field.name));
        Err(E::custom(reason))
    }
}

/// Appends names to choose from.
pub fn push_names<'a>(text: &mut String, names: impl ExactSizeIterator<Item = &'a &'static str>) {
    let last = names.len().saturating_sub(1);
    for (index, name) in names.enumerate() {
        if index > 0 {
            text.push_str(if index == last { " or " } else { ", " });
        }
        text.push('`');
        text.push_str(name);
        text.push('`');
    }
}
