//! The page `docs/rate-limit.md`: its reference is generated from the types, and its recipes are scenarios.

use std::fmt::Write;

use serde_json::Value;

use super::{checked, recipes, schema};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/rate-limit.md");
const MARK: &str =
    "<!-- The rest of this page is generated: BLESS=1 cargo test -p rate-limit -->\n";

/// How a type is called in the page.
fn title(name: &str) -> String {
    match name {
        "" => "Configuration".to_owned(),
        "RuleConfig" => "Rule".to_owned(),
        "AlgorithmConfig" => "Algorithm".to_owned(),
        "ResponseConfig" => "Response".to_owned(),
        "HeaderConfig" => "Header".to_owned(),
        "OverrideConfig" => "Override".to_owned(),
        other => other.to_owned(),
    }
}

/// What a value of a schema is.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        if matches!(name, "HeaderName" | "HeaderValue" | "Cidr" | "Template") {
            return "string".to_owned();
        }
        let title = title(name);
        return format!("[{title}](#{})", title.to_lowercase());
    }
    if let Some([first, ..]) = schema["anyOf"].as_array().map(Vec::as_slice) {
        return kind(first);
    }
    let name = match &schema["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => names.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    match name {
        "array" => format!("list of {}", kind(&schema["items"])),
        name => name.to_owned(),
    }
}

fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.replace('\n', " ").replace('|', "\\|")
}

/// A section for a type.
fn section(page: &mut String, name: &str, schema: &Value) {
    let choices = schema["oneOf"].as_array();
    let properties = schema["properties"].as_object();
    if choices.is_none() && properties.is_none() {
        return;
    }
    let _ = write!(page, "\n### {}\n\n{}\n", title(name), description(schema));
    if let Some(properties) = properties {
        page.push_str("\n| Field | Type | Default | Description |\n|---|---|---|---|\n");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (field, value) in properties {
            let default = match &value["default"] {
                _ if required.contains(&Value::from(field.as_str())) => "required".to_owned(),
                Value::Null | Value::Object(_) => String::new(),
                Value::Array(elements) if elements.is_empty() => String::new(),
                default => format!("`{default}`"),
            };
            let text = description(value);
            let _ = writeln!(page, "| `{field}` | {} | {default} | {text} |", kind(value));
        }
    }
    if let Some(choices) = choices {
        page.push_str("\n| Value | Type | Description |\n|---|---|---|\n");
        for choice in choices {
            if let Some(name) = choice["const"].as_str() {
                let _ = writeln!(page, "| `{name}` |  | {} |", description(choice));
            }
            for name in choice["enum"].as_array().into_iter().flatten() {
                let _ = writeln!(page, "| `{}` |  |  |", name.as_str().unwrap_or_default());
            }
            for (name, value) in choice["properties"].as_object().into_iter().flatten() {
                let text = description(choice);
                let _ = writeln!(page, "| `{name}:` | {} | {text} |", kind(value));
            }
        }
    }
}

#[test]
fn reference_is_that_of_the_types() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let (written, generated) = page.split_once(MARK).expect("the mark");
    let schema = schema();
    let mut reference = String::new();
    section(&mut reference, "", &schema);
    let definitions = schema["$defs"].as_object().expect("definitions");
    let first = ["RuleConfig", "AlgorithmConfig", "KeyPart", "ResponseConfig"];
    for name in first {
        section(&mut reference, name, &definitions[name]);
    }
    for (name, definition) in definitions {
        if !first.contains(&name.as_str()) {
            section(&mut reference, name, definition);
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(PAGE, format!("{written}{MARK}{reference}"))
            .expect("the page can be written");
        return;
    }
    assert_eq!(
        generated, reference,
        "BLESS=1 cargo test -p rate-limit writes the reference anew"
    );
}

/// Each recipe is a good configuration and a scenario with it, and every scenario of a recipe is on the page.
#[test]
fn recipes_are_scenarios() {
    let recipes = recipes::of("rate-limit");
    assert_eq!(recipes.len(), 10);
    for recipe in recipes {
        checked(&recipe.configuration).expect(&recipe.heading);
    }
    let mistakes = recipes::mistakes("rate-limit");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
