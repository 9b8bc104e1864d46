//! [`Seed`]: reads JSON by a shape.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Field, Object, Shape, Value, push_number};

/// Reads JSON by a shape.
#[derive(Clone, Copy)]
pub struct Seed(pub &'static Shape);

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            Shape::Nothing => Err(D::Error::custom("expected no value".to_owned())),
            Shape::Bool => deserializer.deserialize_bool(self),
            Shape::Number => deserializer.deserialize_u64(self),
            Shape::Text | Shape::Word(_) => deserializer.deserialize_str(self),
            Shape::List(_) => deserializer.deserialize_seq(self),
            Shape::Object(_) | Shape::OneOf(_) => deserializer.deserialize_map(self),
            Shape::Choice(_) => deserializer.deserialize_identifier(self),
            Shape::Checked(shape, check) => {
                let mut value = Seed(shape).deserialize(deserializer)?;
                match check(&mut value) {
                    Ok(()) => Ok(value),
                    Err(reason) => Err(D::Error::custom(reason.into_owned())),
                }
            }
        }
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Shape::Bool => "true or false",
            Shape::Number => "a non-negative integer",
            Shape::Text | Shape::Word(_) => "a string",
            Shape::List(_) => "an array",
            Shape::Choice(_) => "a name, or an object with one field",
            _ => "an object",
        })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    // The default would link the formatting of every kind of value.
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        let mut reason = String::from("expected a non-negative integer, got -");
        push_number(&mut reason, value.unsigned_abs());
        Err(E::custom(reason))
    }

    #[inline(never)]
    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        match self.0 {
            Shape::Word(words) => {
                let mut words = words.iter().enumerate();
                if let Some((index, word)) = words.find(|(_, word)| **word == text) {
                    return Ok(Value::Word(index, word));
                }
            }
            Shape::Choice(object) => {
                let mut fields = object.fields.iter().enumerate();
                if let Some((index, field)) = fields.find(|(_, field)| field.name == text) {
                    return match field.shape {
                        Shape::Nothing => Ok(Value::Word(index, field.name)),
                        _ => Err(E::custom("expected an object with this field".to_owned())),
                    };
                }
            }
            _ => return Ok(Value::Text(text.to_owned())),
        }
        Err(E::custom(self.0.refused(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let Shape::List(shape) = self.0 else {
            return Ok(Value::Absent);
        };
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(Seed(shape))? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (Shape::Object(object) | Shape::OneOf(object) | Shape::Choice(object)) = self.0 else {
            return Ok(Value::Absent);
        };
        let is_whole = matches!(self.0, Shape::Object(_));
        let mut fields = Vec::new();
        while let Some(field) = entries.next_key_seed(Name(self.0, object, &fields))? {
            let value = entries.next_value_seed(Nullable {
                seed: Seed(field.shape),
                is_nullable: is_whole || matches!(field.shape, Shape::Nothing),
            })?;
            fields.push((field.name, value));
        }
        if !is_whole && fields.len() != 1 {
            return Err(A::Error::custom(
                self.0.with_names("expected exactly one of the fields "),
            ));
        }
        let value = Value::Object(fields);
        for field in object.fields {
            if field.is_required && !value.has(field.name) {
                return Err(A::Error::missing_field(field.name));
            }
        }
        Ok(value)
    }
}

/// Reads JSON that may be null.
struct Nullable {
    seed: Seed,
    is_nullable: bool,
}

impl<'de> DeserializeSeed<'de> for Nullable {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Nullable {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seed.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        match self.is_nullable {
            true => Ok(Value::Absent),
            false => Err(E::custom("expected a value, got null".to_owned())),
        }
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.seed.deserialize(deserializer)
    }
}

/// Finds a field by its name, given the fields before.
struct Name<'a>(&'static Shape, &'static Object, &'a [(&'static str, Value)]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = &'static Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = &'static Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    #[inline(never)]
    fn visit_str<E: Error>(self, name: &str) -> Result<&'static Field, E> {
        let Name(shape, object, given) = self;
        if given.iter().any(|(other, _)| *other == name) {
            return Err(E::custom("given twice".to_owned()));
        }
        let mut fields = object.fields.iter();
        fields
            .find(|field| field.name == name)
            .ok_or_else(|| E::custom(shape.unknown(object, name)))
    }
}

impl Shape {
    /// Returns the error for an unknown field.
    fn unknown(&self, object: &Object, name: &str) -> String {
        let mut replaced = object.replaced.iter();
        match (replaced.find(|(old, _)| *old == name), self) {
            (Some((_, reason)), _) => (*reason).to_owned(),
            (None, Shape::Choice(_)) => self.refused(name),
            (None, _) => self.with_names("unknown field, expected "),
        }
    }

    /// Returns the error for a string that is not one of the accepted names.
    fn refused(&self, name: &str) -> String {
        let mut reason = self.with_names("expected ");
        reason.push_str(", got \"");
        // One line, as in all messages.
        let shown = name.chars().take(60);
        reason.extend(shown.map(|it| if it.is_control() { ' ' } else { it }));
        reason.push('"');
        reason
    }

    /// Appends the names to choose from.
    fn with_names(&self, start: &str) -> String {
        let mut text = start.to_owned();
        match self {
            Shape::Word(words) => push_names(&mut text, words.iter().copied()),
            Shape::Object(object) | Shape::OneOf(object) | Shape::Choice(object) => {
                push_names(&mut text, object.fields.iter().map(|field| field.name));
            }
            _ => {}
        }
        text
    }
}

/// Appends names to choose from.
pub fn push_names(text: &mut String, names: impl ExactSizeIterator<Item = &'static str>) {
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
