//! Reads configurations by their shape, with little code.
//!
//! serde's derived code for all types of such a configuration is as large as the rest of a plugin. Here, one seed reads any JSON by a
//! [`Shape`], which is data, into a [`Value`], and [`Read`] makes a type from it. The macros [`readable!`](crate::readable) and
//! [`choice!`](crate::choice) define a type together with both. Errors have paths, and unknown fields are refused, as with derived code.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// What JSON is expected.
#[derive(Debug)]
pub enum Shape {
    /// Nothing: a name alone, in a [`Choice`](Shape::Choice).
    Nothing,
    /// A boolean.
    Bool,
    /// A whole number, not negative.
    Number,
    /// A string.
    Text,
    /// An array.
    List(&'static Shape),
    /// An object with these fields.
    Object {
        /// The names of the fields.
        names: &'static [&'static str],
        /// Their shapes, in the same order.
        shapes: &'static [&'static Shape],
        /// Fields that an earlier version had, each with what to do about it.
        replaced: &'static [(&'static str, &'static str)],
    },
    /// A name, or an object with one field.
    Choice {
        /// The names.
        names: &'static [&'static str],
        /// Their shapes, in the same order.
        shapes: &'static [&'static Shape],
    },
}

/// JSON that has been read by a [`Shape`].
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
    /// The elements of an array, or the fields of an object in the order of its shape.
    List(Vec<Value>),
    /// What was chosen, as an index, and its value.
    Chosen(usize, Box<Value>),
}

/// The first thing that is wrong in a configuration, and where.
///
/// Reading goes on after an error, with values that are not used. Returning early would have to drop what has been read, with code for
/// each field.
#[derive(Debug, Default)]
pub struct Wrong {
    path: String,
    reason: Option<&'static str>,
}

/// A type that is read by a shape.
pub trait Read: Sized {
    /// The shape.
    const SHAPE: &'static Shape;

    /// Whether a field of this type has to be given, unless it has a default of its own.
    const IS_REQUIRED: bool = true;

    /// Makes the type from a value that has been read by the shape. An absent value gives any value.
    fn read(value: Value, wrong: &mut Wrong) -> Self;
}

/// Reads a type with a deserializer.
pub fn deserialize<'de, T: Read, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value = Seed(T::SHAPE).deserialize(deserializer)?;
    let mut wrong = Wrong::default();
    let read = T::read(value, &mut wrong);
    match wrong.into_text() {
        Some(text) => Err(D::Error::custom(text)),
        None => Ok(read),
    }
}

/// The fields of an object, in the order of its shape.
#[derive(Debug)]
pub struct Fields(std::vec::IntoIter<Value>);

impl Wrong {
    /// Notes an error for a value, unless there is one.
    #[inline(never)]
    pub fn note(&mut self, reason: &'static str) {
        self.reason.get_or_insert(reason);
    }

    /// Returns whether there is an error.
    pub fn is_noted(&self) -> bool {
        self.reason.is_some()
    }

    /// Prefixes the path of an error that has been noted since `before` with a field.
    #[inline(never)]
    pub fn under(&mut self, before: bool, name: &str) {
        if before || !self.is_noted() {
            return;
        }
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, name);
    }

    /// Prefixes it with an index.
    #[inline(never)]
    fn in_element(&mut self, before: bool, index: usize) {
        if before || !self.is_noted() {
            return;
        }
        let mut step = String::from("[");
        push_decimal(&mut step, index);
        step.push(']');
        self.under(before, &step);
    }

    /// Returns path and reason.
    fn into_text(self) -> Option<String> {
        let mut text = self.path;
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(self.reason?);
        Some(text)
    }
}

fn push_decimal(text: &mut String, number: usize) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

impl Fields {
    /// Returns the fields of an object.
    #[inline(never)]
    pub fn of(value: Value) -> Self {
        match value {
            Value::List(fields) => Fields(fields.into_iter()),
            _ => Fields(Vec::new().into_iter()),
        }
    }

    /// Returns the next field. Notes that it is missing if it is absent and required.
    #[inline(never)]
    pub fn value(&mut self, name: &'static str, is_required: bool, wrong: &mut Wrong) -> Value {
        let value = self.0.next().unwrap_or_default();
        if is_required && matches!(value, Value::Absent) && !wrong.is_noted() {
            wrong.note("missing");
            wrong.under(false, name);
        }
        value
    }

    /// Reads the next field.
    #[inline(never)]
    pub fn next<T: Read>(&mut self, name: &'static str, wrong: &mut Wrong) -> T {
        let value = self.value(name, T::IS_REQUIRED, wrong);
        let before = wrong.is_noted();
        let read = T::read(value, wrong);
        wrong.under(before, name);
        read
    }

    /// Reads the next field, or returns `default` if it is absent.
    pub fn next_or<T: Read>(&mut self, name: &'static str, wrong: &mut Wrong, default: T) -> T {
        self.next::<Option<T>>(name, wrong).unwrap_or(default)
    }
}

/// Defines a struct whose fields are read from an object.
///
/// A field that is absent has the value after `=`. A name in brackets is that in JSON.
#[macro_export]
macro_rules! readable {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $type:ident {
            $( $(#[$field_meta:meta])* $field_visibility:vis $field:ident $([$name:literal])? : $field_type:ty $(= $default:expr)? ),* $(,)?
        }
        $(replaced { $($old:literal => $new:literal),* $(,)? })?
    ) => {
        $(#[$meta])*
        $visibility struct $type {
            $( $(#[$field_meta])* $field_visibility $field: $field_type, )*
        }

        impl $crate::read::Read for $type {
            const SHAPE: &'static $crate::read::Shape = &$crate::read::Shape::Object {
                names: &[$( $crate::readable!(@name $field $([$name])?) ),*],
                shapes: &[$( <$field_type as $crate::read::Read>::SHAPE ),*],
                replaced: &[$($( ($old, $new) ),*)?],
            };

            fn read(value: $crate::read::Value, wrong: &mut $crate::read::Wrong) -> Self {
                let mut fields = $crate::read::Fields::of(value);
                $type { $(
                    $field: $crate::readable!(
                        @read fields wrong $field_type, $crate::readable!(@name $field $([$name])?) $(, $default)?
                    ),
                )* }
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident [$name:literal]) => { $name };
    (@read $fields:ident $wrong:ident $type:ty, $name:expr) => { $fields.next::<$type>($name, $wrong) };
    (@read $fields:ident $wrong:ident $type:ty, $name:expr, $default:expr) => {
        $fields.next_or::<$type>($name, $wrong, $default)
    };
}

/// Defines an enum that is read from a name, or from an object with one field. After each variant stands its name.
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $type:ident {
            $( $(#[$variant_meta:meta])* $variant:ident $(( $(#[$inner_meta:meta])* $inner:ty ))? = $name:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $visibility enum $type {
            $( $(#[$variant_meta])* $variant $(( $(#[$inner_meta])* $inner ))? ),*
        }

        impl $crate::read::Read for $type {
            const SHAPE: &'static $crate::read::Shape = &$crate::read::Shape::Choice {
                names: &[$( $name ),*],
                shapes: &[$( $crate::choice!(@shape $($inner)?) ),*],
            };

            fn read(value: $crate::read::Value, wrong: &mut $crate::read::Wrong) -> Self {
                let (chosen, value) = $crate::read::chosen(value);
                let _ = (&value, &wrong);
                $crate::choice!(@read $type chosen value wrong 0_usize; $( $variant $name $($inner)?; )*)
            }
        }
    };
    (@shape) => { &$crate::read::Shape::Nothing };
    (@shape $inner:ty) => { <$inner as $crate::read::Read>::SHAPE };
    (@read $type:ident $chosen:ident $value:ident $wrong:ident $index:expr; $variant:ident $name:literal $($inner:ty)?;) => {
        $crate::choice!(@value $type $variant $name $value $wrong $($inner)?)
    };
    (@read $type:ident $chosen:ident $value:ident $wrong:ident $index:expr;
        $variant:ident $name:literal $($inner:ty)?; $($rest:tt)+
    ) => {
        if $chosen == $index {
            $crate::choice!(@value $type $variant $name $value $wrong $($inner)?)
        } else {
            $crate::choice!(@read $type $chosen $value $wrong $index + 1; $($rest)+)
        }
    };
    (@value $type:ident $variant:ident $name:literal $value:ident $wrong:ident) => { $type::$variant };
    (@value $type:ident $variant:ident $name:literal $value:ident $wrong:ident $inner:ty) => {{
        let before = $wrong.is_noted();
        let inner = <$inner as $crate::read::Read>::read($value, $wrong);
        $wrong.under(before, $name);
        $type::$variant(inner)
    }};
}

/// Returns what was chosen.
pub fn chosen(value: Value) -> (usize, Value) {
    match value {
        Value::Chosen(chosen, value) => (chosen, *value),
        _ => (0, Value::Absent),
    }
}

/// Lets serde's derived code use a type that has a shape. Errors of [`Read::read`] have a path that begins at this type.
#[macro_export]
macro_rules! deserialize_by_shape {
    ($($type:ty),*) => { $(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::read::deserialize(deserializer)
            }
        }
    )* };
}

// === impl Read ===

impl Read for bool {
    const SHAPE: &'static Shape = &Shape::Bool;

    fn read(value: Value, _: &mut Wrong) -> Self {
        matches!(value, Value::Bool(true))
    }
}

impl Read for u32 {
    const SHAPE: &'static Shape = &Shape::Number;

    fn read(value: Value, wrong: &mut Wrong) -> Self {
        let number = match value {
            Value::Number(number) => number,
            _ => 0,
        };
        u32::try_from(number).unwrap_or_else(|_| {
            wrong.note("expected at most 4294967295");
            0
        })
    }
}

impl Read for String {
    const SHAPE: &'static Shape = &Shape::Text;

    #[inline(never)]
    fn read(value: Value, _: &mut Wrong) -> Self {
        match value {
            Value::Text(text) => text,
            _ => String::new(),
        }
    }
}

impl<T: Read> Read for Option<T> {
    const SHAPE: &'static Shape = T::SHAPE;
    const IS_REQUIRED: bool = false;

    fn read(value: Value, wrong: &mut Wrong) -> Self {
        match value {
            Value::Absent => None,
            value => Some(T::read(value, wrong)),
        }
    }
}

/// An absent list is empty.
impl<T: Read> Read for Vec<T> {
    const SHAPE: &'static Shape = &Shape::List(T::SHAPE);
    const IS_REQUIRED: bool = false;

    fn read(value: Value, wrong: &mut Wrong) -> Self {
        let mut elements = Vec::new();
        for_each(value, wrong, &mut |value, wrong| {
            elements.push(T::read(value, wrong));
        });
        elements
    }
}

/// Reads the elements of a list. One function for all types, since there are many.
#[inline(never)]
fn for_each(value: Value, wrong: &mut Wrong, read: &mut dyn FnMut(Value, &mut Wrong)) {
    let Value::List(values) = value else {
        return;
    };
    for (index, value) in values.into_iter().enumerate() {
        let before = wrong.is_noted();
        read(value, wrong);
        wrong.in_element(before, index);
    }
}

// === the seed ===

/// Reads JSON by a shape.
#[derive(Clone, Copy)]
struct Seed(&'static Shape);

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            Shape::Nothing => Ok(Value::Absent),
            Shape::Bool => deserializer.deserialize_bool(self),
            Shape::Number => deserializer.deserialize_u64(self),
            Shape::Text => deserializer.deserialize_string(self),
            Shape::List(_) => deserializer.deserialize_seq(self),
            Shape::Object { .. } => deserializer.deserialize_map(self),
            Shape::Choice { names, .. } => deserializer.deserialize_enum("", names, self),
        }
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Shape::Nothing => "nothing",
            Shape::Bool => "true or false",
            Shape::Number => "a whole number that is not negative",
            Shape::Text => "a string",
            Shape::List(_) => "an array",
            Shape::Object { .. } => "an object",
            Shape::Choice { .. } => "a name, or an object with one field",
        })
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
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
        let Shape::Object { names, shapes, .. } = self.0 else {
            return Ok(Value::Absent);
        };
        let mut values: Vec<Value> = names.iter().map(|_| Value::Absent).collect();
        while let Some(index) = entries.next_key_seed(Name(self.0))? {
            if let (Some(value), Some(shape)) = (values.get_mut(index), shapes.get(index)) {
                *value = entries.next_value_seed(Nullable(Seed(shape)))?;
            }
        }
        Ok(Value::List(values))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<Value, A::Error> {
        let (index, variant) = choice.variant_seed(Name(self.0))?;
        let value = match self.0 {
            Shape::Choice { shapes, .. } => match shapes.get(index) {
                None | Some(Shape::Nothing) => {
                    variant.unit_variant()?;
                    Value::Absent
                }
                Some(shape) => variant.newtype_variant_seed(Seed(shape))?,
            },
            _ => Value::Absent,
        };
        Ok(Value::Chosen(index, Box::new(value)))
    }
}

/// Reads JSON that may be null.
struct Nullable(Seed);

impl<'de> DeserializeSeed<'de> for Nullable {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Nullable {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.deserialize(deserializer)
    }
}

/// Reads a name of a shape, as an index.
struct Name(&'static Shape);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        let (names, replaced): (&'static [&'static str], &[_]) = match self.0 {
            Shape::Object {
                names, replaced, ..
            } => (names, replaced),
            Shape::Choice { names, .. } => (names, &[]),
            _ => (&[], &[]),
        };
        if let Some(index) = names.iter().position(|name| *name == text) {
            return Ok(index);
        }
        if let Some((_, what)) = replaced.iter().find(|(name, _)| *name == text) {
            return Err(E::custom(what));
        }
        Err(match self.0 {
            Shape::Choice { .. } => E::unknown_variant(text, names),
            _ => E::unknown_field(text, names),
        })
    }
}
