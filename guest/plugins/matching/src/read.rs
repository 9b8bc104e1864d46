//! Reads configurations by their shape, with little code.
//!
//! serde's derived code for all types of such a configuration is as large as the rest of a plugin. Here, one seed reads any JSON by a
//! [`Shape`], which is data, into a [`Value`], and [`Read`] makes a type from it. All checks are parts of shapes: an error has the path of
//! the value that is wrong, and [`Read`] cannot fail. The macros [`readable!`](crate::readable) and [`choice!`](crate::choice) define a
//! type together with its shape.

mod macros;
mod seed;
mod shape;
mod value;

use serde::Deserializer;
use serde::de::DeserializeSeed;

pub use shape::{About, Check, Field, Object, Reason, Shape};
pub use value::Value;

pub use seed::push_names;

use seed::Seed;

/// A type that is read by a shape.
pub trait Read: Sized {
    /// The shape.
    const SHAPE: &'static Shape;

    /// Whether a field of this type has to be given, unless it has a default of its own.
    const IS_REQUIRED: bool = true;

    /// Makes the type from a value that has been read by the shape. An absent value gives any value.
    fn read(value: &Value) -> Self;
}

/// Reads a type with a deserializer.
pub fn deserialize<'de, T: Read, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value = Seed(T::SHAPE).deserialize(deserializer)?;
    Ok(T::read(&value))
}

/// Appends a number in decimal. The formatting of the standard library would be larger.
pub fn push_number(text: &mut String, number: u64) {
    if number >= 10 {
        push_number(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

impl Read for bool {
    const SHAPE: &'static Shape = &Shape::Bool;

    fn read(value: &Value) -> Self {
        matches!(value, Value::Bool(true))
    }
}

impl Read for u64 {
    const SHAPE: &'static Shape = &Shape::Number;

    fn read(value: &Value) -> Self {
        match value {
            Value::Number(number) => *number,
            _ => 0,
        }
    }
}

impl Read for u32 {
    const SHAPE: &'static Shape = &Shape::Checked(&Shape::Number, |value| match value {
        Value::Number(number) if *number > u32::MAX.into() => {
            Err("expected at most 4294967295".into())
        }
        _ => Ok(()),
    });

    fn read(value: &Value) -> Self {
        // The shape has checked that it fits.
        u64::read(value) as u32
    }
}

impl Read for String {
    const SHAPE: &'static Shape = &Shape::Text;

    #[inline(never)]
    fn read(value: &Value) -> Self {
        value.text().to_owned()
    }
}

impl<T: Read> Read for Box<T> {
    const SHAPE: &'static Shape = T::SHAPE;
    const IS_REQUIRED: bool = T::IS_REQUIRED;

    fn read(value: &Value) -> Self {
        Box::new(T::read(value))
    }
}

impl<T: Read> Read for Option<T> {
    const SHAPE: &'static Shape = T::SHAPE;
    const IS_REQUIRED: bool = false;

    fn read(value: &Value) -> Self {
        match value {
            Value::Absent => None,
            value => Some(T::read(value)),
        }
    }
}

/// An absent list is empty.
impl<T: Read> Read for Vec<T> {
    const SHAPE: &'static Shape = &Shape::List(T::SHAPE);
    const IS_REQUIRED: bool = false;

    fn read(value: &Value) -> Self {
        let values = value.list();
        let mut elements = Vec::with_capacity(values.len());
        // Not `collect`, which has code for reuse of the allocation.
        for value in values {
            elements.push(T::read(value));
        }
        elements
    }
}
