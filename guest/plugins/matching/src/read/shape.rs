//! [`Shape`]: what JSON is expected, as data.

use std::borrow::Cow;

use super::Value;

/// What JSON is expected.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Nothing: a name alone, in a [`Choice`](Shape::Choice).
    Nothing,
    /// A boolean.
    Bool,
    /// An integer that is not negative.
    Number,
    /// A string.
    Text,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// An array.
    List(&'static Shape),
    /// An object with these fields.
    Object(&'static Object),
    /// An object with exactly one of these fields.
    OneOf(&'static Object),
    /// The name of a field whose shape is [`Nothing`](Shape::Nothing), or an object with one of the others.
    Choice(&'static Object),
    /// A value of another shape that a function does not refuse. It can replace the value by what it has made of it.
    Checked(&'static Shape, Check),
}

/// Checks a value.
pub type Check = fn(&mut Value) -> Result<(), Reason>;

/// Why a value is refused.
pub type Reason = Cow<'static, str>;

/// The fields of an object.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// What the object is called in a schema.
    pub title: About,
    /// Its fields.
    pub fields: &'static [Field],
    /// Fields that an earlier version had, each with what to do about it.
    pub replaced: &'static [(&'static str, &'static str)],
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub shape: &'static Shape,
    /// Whether it must be given.
    pub is_required: bool,
    /// Its description.
    pub about: About,
}

/// A text for a schema, made by [`about!`](crate::about). It is nothing in plugins, which have no use for it.
#[cfg(feature = "schema")]
pub type About = &'static str;

/// A text for a schema, made by [`about!`](crate::about). It is nothing in plugins, which have no use for it.
#[cfg(not(feature = "schema"))]
pub type About = ();
