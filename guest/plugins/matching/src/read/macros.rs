//! Macros that define a type together with its shape.

/// A text for a schema.
#[cfg(feature = "schema")]
#[macro_export]
macro_rules! about {
    ($($text:tt)*) => { concat!($($text)*) };
}

/// A text for a schema, which plugins do not have.
#[cfg(not(feature = "schema"))]
#[macro_export]
macro_rules! about {
    ($($text:tt)*) => {
        ()
    };
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
            const SHAPE: &'static $crate::read::Shape = &$crate::read::Shape::Object(&$crate::read::Object {
                title: $crate::about!(stringify!($type)),
                fields: &[$( $crate::read::Field {
                    name: $crate::readable!(@name $field $([$name])?),
                    shape: <$field_type as $crate::read::Read>::SHAPE,
                    is_required: $crate::readable!(@is_required $field_type $(, $default)?),
                    about: $crate::about!(),
                } ),*],
                replaced: &[$($( ($old, $new) ),*)?],
            });

            fn read(value: &$crate::read::Value) -> Self {
                $type { $(
                    $field: $crate::readable!(
                        @read value $field_type, $crate::readable!(@name $field $([$name])?) $(, $default)?
                    ),
                )* }
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident [$name:literal]) => { $name };
    (@is_required $type:ty) => { <$type as $crate::read::Read>::IS_REQUIRED };
    (@is_required $type:ty, $default:expr) => { false };
    (@read $value:ident $type:ty, $name:expr) => { $value.get::<$type>($name) };
    (@read $value:ident $type:ty, $name:expr, $default:expr) => { $value.get_or::<$type>($name, $default) };
}

/// Defines an enum that is read from a name or, if one of its variants has a value, from an object with one field. After each variant
/// stands its name.
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $type:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $name:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $visibility enum $type {
            $( $(#[$variant_meta])* $variant ),*
        }

        impl $crate::read::Read for $type {
            const SHAPE: &'static $crate::read::Shape = &$crate::read::Shape::Word(&[$( $name ),*]);

            fn read(value: &$crate::read::Value) -> Self {
                let (chosen, _) = value.chosen(Self::SHAPE);
                $crate::choice!(@read $type chosen value 0_usize; $( $variant; )*)
            }
        }
    };
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
            const SHAPE: &'static $crate::read::Shape = &$crate::read::Shape::Choice(&$crate::read::Object {
                title: $crate::about!(stringify!($type)),
                fields: &[$( $crate::read::Field {
                    name: $name,
                    shape: $crate::choice!(@shape $($inner)?),
                    is_required: false,
                    about: $crate::about!(),
                } ),*],
                replaced: &[],
            });

            fn read(value: &$crate::read::Value) -> Self {
                let (chosen, value) = value.chosen(Self::SHAPE);
                $crate::choice!(@read $type chosen value 0_usize; $( $variant $($inner)?; )*)
            }
        }
    };
    (@shape) => { &$crate::read::Shape::Nothing };
    (@shape $inner:ty) => { <$inner as $crate::read::Read>::SHAPE };
    (@read $type:ident $chosen:ident $value:ident $index:expr; $variant:ident $($inner:ty)?;) => {
        $crate::choice!(@value $type $variant $value $($inner)?)
    };
    (@read $type:ident $chosen:ident $value:ident $index:expr; $variant:ident $($inner:ty)?; $($rest:tt)+) => {
        if $chosen == $index {
            $crate::choice!(@value $type $variant $value $($inner)?)
        } else {
            $crate::choice!(@read $type $chosen $value $index + 1; $($rest)+)
        }
    };
    (@value $type:ident $variant:ident $value:ident) => { $type::$variant };
    (@value $type:ident $variant:ident $value:ident $inner:ty) => {
        $type::$variant(<$inner as $crate::read::Read>::read($value))
    };
}

/// Lets serde's derived code use a type that has a shape.
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
