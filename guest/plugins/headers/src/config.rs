//! Builds what the plugin does from a configuration that has been read by the tables in [`fields`](crate::fields).

use plugin_matching::read::{Read, Shape, Value};
use plugin_matching::{Condition, HeaderName, Rewrite, StringMatcher, deserialize_by_shape};
use tidegate_guest::ConfigError;

use crate::builder::Builder;
use crate::cors::Cors;
use crate::edit::Edit;
use crate::fields::{CONFIG, CORS, MATCH_RESPONSE, PARAMETER_EDIT, RESPONSE_HEADER};
use crate::format::Format;
use crate::guard::Guard;
use crate::place::Place;
use crate::query::Change;
use crate::security::{self, SCHEME, SecurityHeaders};
use crate::source::{Message, Saved, add_name};

/// A configuration, or what is wrong with it that no shape tells.
#[derive(Debug)]
pub struct Config(Result<Plan, ConfigError>);

/// What the plugin does.
#[derive(Debug, Default)]
pub struct Plan {
    /// Rules, in order.
    pub rules: Vec<Rule>,
    /// Whether only the first rule that matches is applied.
    pub first_match: bool,
    /// Which fields no rule can change.
    pub guard: Guard,
    /// CORS, if it is configured.
    pub cors: Option<Cors>,
    /// Headers of all responses.
    pub security: SecurityHeaders,
    /// The names of the headers that are read after the message has been passed on.
    pub saved: Saved<String>,
}

/// A rule.
#[derive(Debug, Default)]
pub struct Rule {
    /// To which requests it applies. Boxed, because most rules have none.
    pub condition: Option<Box<Condition>>,
    /// To which responses it applies.
    pub response_condition: Option<ResponseCondition>,
    /// Edits of the request's headers.
    pub request: Vec<Edit>,
    /// Edits of the response's headers.
    pub response: Vec<Edit>,
    /// Edits of the request's trailers.
    pub request_trailers: Vec<Edit>,
    /// Edits of the response's trailers.
    pub response_trailers: Vec<Edit>,
    /// How the path changes.
    pub path: Option<PathRewrite>,
    /// How the query changes.
    pub parameters: Vec<ParameterEdit>,
    /// The new host.
    pub host: Option<Format>,
}

/// A condition on a response.
#[derive(Debug)]
pub struct ResponseCondition {
    /// Codes from 100, and classes from 1. Any status if empty.
    pub statuses: Vec<u64>,
    /// Matchers of the media type. Any type if empty.
    pub content_types: Vec<StringMatcher>,
    /// Headers that must match.
    pub headers: Vec<ResponseHeader>,
}

/// A header of a response that must match.
#[derive(Debug)]
pub struct ResponseHeader {
    /// Its name.
    pub name: HeaderName,
    /// What its first value matches. If absent, the header must be present.
    pub matcher: Option<StringMatcher>,
    /// Whether the result is inverted.
    pub invert: bool,
}

/// How a parameter of the query changes.
#[derive(Debug)]
pub struct ParameterEdit {
    /// What is done.
    pub change: Change,
    /// The name of the parameter.
    pub name: String,
    /// Its value.
    pub value: Format,
}

/// How a path changes.
#[derive(Debug)]
pub enum PathRewrite {
    /// To this one.
    Set(Format),
    /// From a prefix to another one.
    Prefix(String, String),
    /// By a regular expression.
    Regex(Rewrite),
}

impl Read for Config {
    const SHAPE: &'static Shape = &CONFIG;

    fn read(value: &Value) -> Self {
        Config(plan(value))
    }
}

deserialize_by_shape!(Config);

impl Read for ResponseCondition {
    const SHAPE: &'static Shape = &MATCH_RESPONSE;

    fn read(value: &Value) -> Self {
        let mut statuses: Vec<u64> = value.get("status_codes");
        for class in value.field("status_classes").list() {
            let (index, _) = class.chosen(&Shape::Nothing);
            statuses.push(index as u64 + 1);
        }
        ResponseCondition {
            statuses,
            content_types: value.get("content_type"),
            headers: value.get("headers"),
        }
    }
}

impl Read for ResponseHeader {
    const SHAPE: &'static Shape = &RESPONSE_HEADER;

    fn read(value: &Value) -> Self {
        ResponseHeader {
            name: value.get("name"),
            matcher: value.get("string_match"),
            invert: value.get("invert_match"),
        }
    }
}

impl Read for ParameterEdit {
    const SHAPE: &'static Shape = &PARAMETER_EDIT;

    fn read(value: &Value) -> Self {
        let (action, value) = value.only();
        let change = match action {
            "set" => Change::Set,
            "append" => Change::Append,
            "add_if_absent" => Change::AddIfAbsent,
            "overwrite_if_exists" => Change::OverwriteIfExists,
            _ => Change::Remove,
        };
        if change == Change::Remove {
            return ParameterEdit {
                change,
                name: String::read(value),
                value: Format::default(),
            };
        }
        ParameterEdit {
            change,
            name: value.get("name"),
            value: value.get("value"),
        }
    }
}

impl Read for Cors {
    const SHAPE: &'static Shape = &CORS;

    fn read(value: &Value) -> Self {
        Cors {
            origins: value.get("allow_origin_string_match"),
            allow_methods: value.get("allow_methods"),
            allow_headers: value.get("allow_headers"),
            expose_headers: value.get("expose_headers"),
            max_age: value.get("max_age"),
            credentials: value.get("allow_credentials"),
            private_network: value.get("allow_private_network_access"),
            forwards: value.get_or("forward_not_matching_preflights", true),
            shadow: value.get("shadow_enabled"),
        }
    }
}

impl Config {
    /// Returns what the plugin does. An error has the path of the value that is wrong.
    pub fn build(self) -> Result<Plan, ConfigError> {
        self.0
    }
}

fn plan(value: &Value) -> Result<Plan, ConfigError> {
    // Needed before the rules, wherever it stands.
    let protected: Option<Vec<String>> = value.get("protected");
    let mut builder = Builder::new(protected.map(Guard::new).unwrap_or_default());
    let mut rules = Vec::new();
    let place = Place::ROOT.field("rules");
    for (index, rule) in value.field("rules").list().iter().enumerate() {
        rules.push(builder.rule(rule, &place.element(index)));
    }
    let mut plan = Plan {
        rules,
        first_match: value.field("mode").text() == "first_match",
        cors: value.get("cors"),
        security: security::build(value.field("security_headers"), &mut builder),
        guard: Guard::default(),
        saved: Saved::default(),
    };
    plan.guard = builder.finish()?;
    for rule in &plan.rules {
        for edits in [
            &rule.response,
            &rule.request_trailers,
            &rule.response_trailers,
        ] {
            add_fields(edits, Message::Request, &mut plan.saved.request);
        }
        let names = &mut plan.saved.response;
        add_fields(&rule.response_trailers, Message::Response, names);
    }
    if plan.security.strict_transport.is_some() {
        add_name(&mut plan.saved.request, SCHEME);
    }
    Ok(plan)
}

/// Adds the names of the fields of a message that edits read.
#[inline(never)]
fn add_fields(edits: &[Edit], of: Message, names: &mut Vec<String>) {
    for edit in edits {
        if let Edit::Value { value, .. } | Edit::SetCookie { value, .. } = edit {
            value.fields(of, names);
        }
    }
}
