//! The custom section with a plugin's metadata: name, version and the JSON Schema of its configuration.
//!
//! `tidegate adapt` preserves the section, `tidegate inspect` shows it, and a deployment can use it to validate a
//! configuration before it reaches a proxy. Name and version are those of the crate being compiled.

use std::{env, fs, path::PathBuf};

use serde_json::{Value, json};
use syn::LitStr;

/// The name of the custom section.
pub const SECTION: &str = "tidegate-plugin";

/// The contents of a plugin's section, and the file that it depends on.
pub struct Metadata {
    /// The bytes of the section.
    pub json: Vec<u8>,
    /// The path of the schema file. The crate must be recompiled if it changes.
    pub schema_file: Option<String>,
}

/// Collects the metadata of the crate being compiled.
pub fn of_current_crate(schema: Option<&LitStr>) -> syn::Result<Metadata> {
    let name = variable("CARGO_PKG_NAME")?;
    let version = variable("CARGO_PKG_VERSION")?;
    let (schema, schema_file) = match schema {
        None => (Value::Null, None),
        Some(path) => {
            let file = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join(path.value());
            let text = fs::read(&file).map_err(|error| {
                syn::Error::new(
                    path.span(),
                    format!("cannot read the schema `{}`: {error}", file.display()),
                )
            })?;
            (
                parse_schema(&text).map_err(|error| syn::Error::new(path.span(), error))?,
                Some(file.display().to_string()),
            )
        }
    };
    let json = json!({ "name": name, "version": version, "schema": schema })
        .to_string()
        .into_bytes();
    Ok(Metadata { json, schema_file })
}

fn parse_schema(text: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(schema)) => Ok(Value::Object(schema)),
        Ok(_) => Err(
            "a JSON Schema must be a JSON object, but the file contains another value".to_owned(),
        ),
        Err(error) => Err(format!("the schema is not JSON: {error}")),
    }
}

fn variable(name: &str) -> syn::Result<String> {
    env::var(name).map_err(|_| {
        syn::Error::new(
            proc_macro2::Span::call_site(),
            format!("`{name}` is not set: build plugins with cargo"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_contains_crate_name_and_version() {
        let metadata = of_current_crate(None).expect("cargo sets what is needed");
        let value: Value = serde_json::from_slice(&metadata.json).expect("the section is JSON");
        assert_eq!(
            value,
            json!({ "name": "tidegate-guest-macros", "version": env!("CARGO_PKG_VERSION"), "schema": null })
        );
    }

    #[test]
    fn schema_must_be_a_json_object() {
        assert_eq!(
            parse_schema(b"{\"type\":\"object\"}"),
            Ok(json!({ "type": "object" }))
        );
        assert!(
            parse_schema(b"[]")
                .expect_err("an array is refused")
                .contains("must be a JSON object")
        );
        assert!(
            parse_schema(b"{")
                .expect_err("not JSON")
                .contains("is not JSON")
        );
    }

    #[test]
    fn missing_schema_file_is_named_in_the_error() {
        let path: LitStr = syn::parse_quote!("nowhere.json");
        let error = of_current_crate(Some(&path))
            .err()
            .expect("there is no such file")
            .to_string();
        assert!(error.contains("nowhere.json"), "{error}");
    }
}
