//! A serde deserializer for a parsed JSON value.
//!
//! Error paths are built while an error propagates: each object and array prepends its own path segment. If serde
//! requests a specific type, a value of a different type is rejected here, and the message uses the description of the
//! expected type from the author's visitor. Fractional numbers are parsed only for types that can hold them, so that
//! other plugins do not include the parsing code.

use std::borrow::Cow;

use hifijson::{num::Parts, value::Value};
use serde::{
    de::{
        self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Visitor,
        value::{CowStrDeserializer, MapAccessDeserializer},
    },
    forward_to_deserialize_any,
};

use super::error::{ConfigError, Quoted, Shortened};

type JsonValue<'a> = Value<&'a str, Cow<'a, str>>;

/// A deserializer for one JSON value.
pub struct Json<'a>(pub JsonValue<'a>);

impl Json<'_> {
    #[cold]
    fn refused(&self, expected: &dyn Expected) -> ConfigError {
        match &self.0 {
            Value::Null => ConfigError::mismatch(expected, "null"),
            Value::Bool(true) => ConfigError::mismatch(expected, "true"),
            Value::Bool(false) => ConfigError::mismatch(expected, "false"),
            Value::Number((digits, _)) => ConfigError::mismatch(expected, Shortened(digits)),
            Value::String(text) => ConfigError::mismatch(expected, Quoted(text)),
            Value::Array(_) => ConfigError::mismatch(expected, "an array"),
            Value::Object(_) => ConfigError::mismatch(expected, "an object"),
        }
    }

    /// Returns the digits of a number without fraction and exponent.
    fn integer(&self) -> Option<&str> {
        match &self.0 {
            Value::Number((digits, parts)) if parts.is_int() => Some(digits),
            _ => None,
        }
    }
}

/// Implements the method for an integer type. A number in range is passed to the visitor, which checks its own bounds.
macro_rules! integer {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            let Some(digits) = self.integer() else { return Err(self.refused(&visitor)) };
            if let Ok(value) = digits.parse::<u64>() {
                visitor.visit_u64(value)
            } else if let Ok(value) = digits.parse::<i64>() {
                visitor.visit_i64(value)
            } else {
                Err(self.refused(&visitor))
            }
        }
    )* };
}

macro_rules! text {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            match self.0 {
                Value::String(text) => visit_text(text, visitor),
                _ => Err(self.refused(&visitor)),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for Json<'de> {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number((
                _,
                Parts {
                    dot: false,
                    exp: false,
                    ..
                },
            )) => self.deserialize_i64(visitor),
            Value::Number(_) => self.deserialize_f64(visitor),
            Value::String(text) => visit_text(text, visitor),
            Value::Array(elements) => visit_elements(elements, visitor),
            Value::Object(entries) => visit_entries(entries, visitor),
        }
    }

    integer! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    }

    text! { deserialize_char deserialize_str deserialize_string }

    /// Also accepts an object: a visitor that asks for a name can take one that stands before a value. With `deserialize_enum`, it would
    /// need much more code.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::String(text) => visit_text(text, visitor),
            Value::Object(entries) => visit_entries(entries, visitor),
            _ => Err(self.refused(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.refused(&visitor)),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let number = match &self.0 {
            Value::Number((digits, _)) => digits
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite()),
            _ => None,
        };
        match number {
            Some(number) => visitor.visit_f64(number),
            None => Err(self.refused(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::String(text) => visitor.visit_byte_buf(text.into_owned().into_bytes()),
            Value::Array(elements) => visit_elements(elements, visitor),
            _ => Err(self.refused(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// Also accepts an empty object. An absent configuration is treated as an empty object, and a unit type accepts it
    /// even if the author refers to `()` through an alias.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Object(entries) => match entries.first() {
                None => visitor.visit_unit(),
                Some((key, _)) => {
                    Err(<ConfigError as de::Error>::unknown_field(key, &[]).under(key))
                }
            },
            _ => Err(self.refused(&"an empty object")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::Array(elements) => visit_elements(elements, visitor),
            _ => Err(self.refused(&"an array")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::Object(entries) => visit_entries(entries, visitor),
            _ => Err(self.refused(&"an object")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        match self.0 {
            Value::String(name) => {
                visitor.visit_enum(IntoDeserializer::<ConfigError>::into_deserializer(name))
            }
            Value::Object(entries) if entries.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries::new(entries)))
            }
            Value::Object(_) => Err(ConfigError::mismatch(
                "an object with one field",
                "another number of them",
            )),
            _ => Err(self.refused(&"a name, or an object with one field")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_unit()
    }
}

fn visit_text<'de, V: Visitor<'de>>(
    text: Cow<'de, str>,
    visitor: V,
) -> Result<V::Value, ConfigError> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

fn visit_elements<'de, V: Visitor<'de>>(
    elements: Vec<JsonValue<'de>>,
    visitor: V,
) -> Result<V::Value, ConfigError> {
    let length = elements.len();
    let mut elements = Elements(elements.into_iter().enumerate());
    let value = visitor.visit_seq(&mut elements)?;
    match elements.0.len() {
        0 => Ok(value),
        left => Err(ConfigError::new(format!(
            "expected {} elements, got {length}",
            length - left
        ))),
    }
}

fn visit_entries<'de, V: Visitor<'de>>(
    entries: Vec<(Cow<'de, str>, JsonValue<'de>)>,
    visitor: V,
) -> Result<V::Value, ConfigError> {
    visitor.visit_map(Entries::new(entries))
}

/// The elements of an array, with their indices.
struct Elements<'a>(std::iter::Enumerate<std::vec::IntoIter<JsonValue<'a>>>);

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        match self.0.next() {
            Some((index, element)) => seed
                .deserialize(Json(element))
                .map(Some)
                .map_err(|error| error.in_element(index)),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The entries of an object.
struct Entries<'a> {
    left: std::vec::IntoIter<(Cow<'a, str>, JsonValue<'a>)>,
    value: Option<(Cow<'a, str>, JsonValue<'a>)>,
}

impl<'a> Entries<'a> {
    fn new(entries: Vec<(Cow<'a, str>, JsonValue<'a>)>) -> Self {
        Entries {
            left: entries.into_iter(),
            value: None,
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ConfigError> {
        let Some((key, value)) = self.left.next() else {
            return Ok(None);
        };
        let parsed = seed
            .deserialize(Key(key.clone()))
            .map_err(|error| error.under(&key))?;
        self.value = Some((key, value));
        Ok(Some(parsed))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ConfigError> {
        match self.value.take() {
            Some((key, value)) => seed
                .deserialize(Json(value))
                .map_err(|error| error.under(&key)),
            None => Err(ConfigError::new("a value was asked for before its key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

/// The key of an object. It is a string in JSON and can be a number in the author's type.
struct Key<'a>(Cow<'a, str>);

macro_rules! integer_key {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            if let Ok(value) = self.0.parse::<u64>() {
                visitor.visit_u64(value)
            } else if let Ok(value) = self.0.parse::<i64>() {
                visitor.visit_i64(value)
            } else {
                Err(ConfigError::mismatch(&visitor as &dyn Expected, Quoted(&self.0)))
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visit_text(self.0, visitor)
    }

    integer_key! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        CowStrDeserializer::<ConfigError>::new(self.0).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
