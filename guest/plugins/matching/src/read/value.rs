//! [`Value`]: JSON that has been read by a shape.

use std::any::Any;

use super::{Read, Shape};

/// JSON that has been read by a [`Shape`](super::Shape).
#[derive(Debug, Default)]
pub enum Value {
    /// Nothing was given, or null.
    #[default]
    Absent,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(u64),
    /// A string.
    Text(String),
    /// A string of a list, with its index there.
    Word(usize, &'static str),
    /// The elements of an array.
    List(Vec<Value>),
    /// The fields of an object.
    Object(Vec<(&'static str, Value)>),
    /// What a check made of a value.
    Made(Box<dyn Any + Send + Sync>),
}

static ABSENT: Value = Value::Absent;

impl Value {
    /// What a check made of a value.
    pub fn made<T: Any + Send + Sync>(made: T) -> Self {
        Value::Made(Box::new(made))
    }

    /// Returns what a check made of the value.
    pub fn unmade<T: Any + Clone>(&self) -> Option<T> {
        match self {
            Value::Made(made) => made.downcast_ref().cloned(),
            _ => None,
        }
    }

    /// Returns a string. Anything else is an empty one.
    #[inline(never)]
    pub fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            Value::Word(_, word) => word,
            _ => "",
        }
    }

    /// Returns the elements of an array. Anything else has none.
    #[inline(never)]
    pub fn list(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            _ => &[],
        }
    }

    /// Returns a field of an object. Anything else has none.
    #[inline(never)]
    pub fn field(&self, name: &str) -> &Value {
        let Value::Object(fields) = self else {
            return &ABSENT;
        };
        let field = fields.iter().find(|(other, _)| *other == name);
        field.map_or(&ABSENT, |(_, value)| value)
    }

    /// Returns whether a field was given.
    #[inline(never)]
    pub fn has(&self, name: &str) -> bool {
        !matches!(self.field(name), Value::Absent)
    }

    /// Reads a field.
    #[inline(never)]
    pub fn get<T: Read>(&self, name: &str) -> T {
        T::read(self.field(name))
    }

    /// Reads a field, or returns `default` if it is absent.
    pub fn get_or<T: Read>(&self, name: &str, default: T) -> T {
        self.get::<Option<T>>(name).unwrap_or(default)
    }

    /// Returns the name and the value of the field of an object that has exactly one.
    #[inline(never)]
    pub fn only(&self) -> (&'static str, &Value) {
        match self {
            Value::Object(fields) => fields
                .first()
                .map_or(("", &ABSENT), |(name, it)| (name, it)),
            _ => ("", &ABSENT),
        }
    }

    /// Returns the index of what was chosen of a shape, and its value.
    #[inline(never)]
    pub fn chosen(&self, shape: &Shape) -> (usize, &Value) {
        match (self, shape) {
            (Value::Word(index, _), _) => (*index, &ABSENT),
            (_, Shape::OneOf(object) | Shape::Choice(object)) => {
                let (name, value) = self.only();
                let index = object.fields.iter().position(|field| field.name == name);
                (index.unwrap_or(0), value)
            }
            _ => (0, &ABSENT),
        }
    }
}
