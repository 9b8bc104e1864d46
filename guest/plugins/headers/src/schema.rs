//! The JSON Schema and the reference page, from the tables in [`fields`](crate::fields).

use plugin_matching::read::{Object, Shape};
use plugin_matching::{Condition, StringMatcher};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::fields::CONFIG;

/// The JSON Schema of the configuration.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let mut definitions = Map::new();
    let mut schema = of(&CONFIG, &mut generator, &mut definitions);
    definitions.extend(generator.take_definitions(true));
    if let Value::Object(schema) = &mut schema {
        schema.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        schema.insert("title".to_owned(), json!("Config"));
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

fn of(
    shape: &Shape,
    generator: &mut SchemaGenerator,
    definitions: &mut Map<String, Value>,
) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Number => json!({ "type": "integer", "minimum": 0 }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::List(element) => {
            json!({ "type": "array", "items": of(element, generator, definitions) })
        }
        Shape::Nothing | Shape::Choice(_) => unreachable!("no field has such a shape"),
        Shape::Object(fields) if fields.title == "Condition" => {
            generator.subschema_for::<Condition>().to_value()
        }
        Shape::Object(fields) if fields.title == "StringMatcherFields" => {
            generator.subschema_for::<StringMatcher>().to_value()
        }
        Shape::Checked(shape, _) => of(shape, generator, definitions),
        Shape::Object(fields) if fields.title == "Config" => object(fields, generator, definitions),
        Shape::Object(fields) | Shape::OneOf(fields) => {
            if !definitions.contains_key(fields.title) {
                let mut schema = object(fields, generator, definitions);
                if let (Shape::OneOf(_), Value::Object(schema)) = (shape, &mut schema) {
                    schema.insert("minProperties".to_owned(), json!(1));
                    schema.insert("maxProperties".to_owned(), json!(1));
                }
                definitions.insert(fields.title.to_owned(), schema);
            }
            json!({ "$ref": format!("#/$defs/{}", fields.title) })
        }
    }
}

fn object(
    fields: &Object,
    generator: &mut SchemaGenerator,
    definitions: &mut Map<String, Value>,
) -> Value {
    let mut properties = Map::new();
    for field in fields.fields {
        let mut schema = of(field.shape, generator, definitions);
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), json!(field.about.trim()));
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<&str> = fields
        .fields
        .iter()
        .filter(|field| field.is_required)
        .map(|field| field.name)
        .collect();
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (false, Value::Object(schema)) = (required.is_empty(), &mut schema) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// The reference of all fields: a table for each object, from the schema.
pub fn reference() -> String {
    let schema = schema();
    let mut text = String::new();
    table("The configuration", &schema, &mut text);
    let definitions = schema["$defs"].as_object().expect("definitions");
    for (title, definition) in definitions {
        if definition["properties"].is_object() {
            table(&format!("`{title}`"), definition, &mut text);
        }
    }
    text
}

fn table(title: &str, schema: &Value, text: &mut String) {
    text.push_str(&format!("### {title}\n\n"));
    if schema["maxProperties"] == 1 {
        text.push_str("Exactly one of these fields.\n\n");
    }
    text.push_str("| Field | Type | Meaning |\n|---|---|---|\n");
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().expect("properties") {
        let mark = if required.contains(&json!(name)) {
            ", required"
        } else {
            ""
        };
        let about = field["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ")
            .replace('|', "\\|");
        text.push_str(&format!("| `{name}` | {}{mark} | {about} |\n", kind(field)));
    }
    text.push('\n');
}

fn kind(field: &Value) -> String {
    if let Some(reference) = field["$ref"].as_str() {
        let name = reference.rsplit('/').next().expect("a name");
        return format!("`{name}`");
    }
    if let Some(any) = field["anyOf"].as_array() {
        return kind(&any[0]);
    }
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    match field["type"].as_str().or_else(|| field["type"][0].as_str()) {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some(kind) => kind.to_owned(),
        None => "object".to_owned(),
    }
}
