//! Builds what the plugin does from a configuration that has been read by the tables in [`fields`](crate::fields).

use plugin_matching::{Condition, Rewrite, StringMatcher};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error};
use tidegate_guest::{ConfigError, FieldName};

use crate::cookie;
use crate::cors::Cors;
use crate::edit::{Action, Edit};
use crate::fields::CONFIG;
use crate::format::Format;
use crate::guard::{Guard, Kind};
use crate::object::{Object, flag, list, object, plain, take, text};
use crate::place::Place;
use crate::query::Change;
use crate::security::{self, SCHEME, SecurityHeaders};
use crate::shape::Tree;
use crate::source::add_name;

/// A configuration as it was read. [`Config::build`] checks it.
#[derive(Debug)]
pub struct Config(Object);

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
    /// The fields of requests that are read later. Proxies have them only until the request has been passed on.
    pub saved: Vec<String>,
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
    pub parameters: Vec<(Change, String, Format)>,
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
    /// Headers that must match, and whether they must not.
    pub headers: Vec<(FieldName, Option<StringMatcher>, bool)>,
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

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match (&CONFIG).deserialize(deserializer)? {
            Tree::Object(object) => Ok(Config(object)),
            _ => Err(D::Error::custom("expected an object")),
        }
    }
}

impl Config {
    /// Checks the configuration. An error has the path of the value that is wrong.
    pub fn build(self) -> Result<Plan, ConfigError> {
        let mut plan = Plan::default();
        let root = Place::ROOT;
        let mut fields = self.0;
        // Needed before the rules, wherever it stands.
        if let Some(names) = list(&mut fields, "protected") {
            let place = root.field("protected");
            let mut protected = Vec::new();
            for (index, name) in names.into_iter().enumerate() {
                let Tree::Text(name) = name else { continue };
                let plain = name.strip_suffix('*').unwrap_or(&name);
                if !plain.is_empty() && FieldName::new(plain).is_none() {
                    return Err(place
                        .element(index)
                        .refuse("expected a header name, which can end with `*`"));
                }
                protected.push(name.to_ascii_lowercase());
            }
            plan.guard = Guard::new(protected);
        }
        plan.first_match = text(&mut fields, "mode").as_deref() == Some("first_match");
        if let Some(rules) = list(&mut fields, "rules") {
            let place = root.field("rules");
            for (index, tree) in rules.into_iter().enumerate() {
                plan.rules
                    .push(rule(object(tree), &place.element(index), &plan.guard)?);
            }
        }
        if let Some(tree) = take(&mut fields, "cors") {
            plan.cors = Some(cors(object(tree), &root.field("cors"))?);
        }
        if let Some(tree) = take(&mut fields, "security_headers") {
            plan.security = security::build(object(tree), &root.field("security_headers"))?;
        }
        for rule in &plan.rules {
            for edit in rule
                .response
                .iter()
                .chain(&rule.request_trailers)
                .chain(&rule.response_trailers)
            {
                if let Edit::Value { value, .. } | Edit::SetCookie { value, .. } = edit {
                    value.request_fields(&mut plan.saved);
                }
            }
        }
        if plan.security.strict_transport.is_some() {
            add_name(&mut plan.saved, SCHEME);
        }
        Ok(plan)
    }
}

fn rule(mut fields: Object, place: &Place<'_>, guard: &Guard) -> Result<Rule, ConfigError> {
    let mut rule = Rule::default();
    if let Some(Tree::Condition(condition)) = take(&mut fields, "match") {
        rule.condition = Some(condition);
    }
    if let Some(tree) = take(&mut fields, "match_response") {
        rule.response_condition = Some(response_condition(
            object(tree),
            &place.field("match_response"),
        )?);
        for name in [
            "request",
            "request_trailers",
            "path",
            "query_parameters",
            "host",
        ] {
            if take(&mut fields, name).is_some() {
                return Err(place
                    .field(name)
                    .refuse("a rule with `match_response` cannot change requests"));
            }
        }
    }
    for (name, kind, edits) in [
        ("request", Kind::Request, &mut rule.request),
        ("response", Kind::Response, &mut rule.response),
        (
            "request_trailers",
            Kind::Trailers,
            &mut rule.request_trailers,
        ),
        (
            "response_trailers",
            Kind::Trailers,
            &mut rule.response_trailers,
        ),
    ] {
        let place = place.field(name);
        for (index, tree) in list(&mut fields, name).into_iter().flatten().enumerate() {
            edits.push(edit(object(tree), &place.element(index), kind, guard)?);
        }
    }
    if let Some(tree) = take(&mut fields, "path") {
        rule.path = path(object(tree), &place.field("path"))?;
    }
    let parameters = place.field("query_parameters");
    for (index, tree) in list(&mut fields, "query_parameters")
        .into_iter()
        .flatten()
        .enumerate()
    {
        if let Some((action, tree)) = object(tree).pop() {
            let place = parameters.element(index);
            let place = place.field(action);
            let change = match action {
                "set" => Change::Set,
                "append" => Change::Append,
                "add_if_absent" => Change::AddIfAbsent,
                "overwrite_if_exists" => Change::OverwriteIfExists,
                _ => Change::Remove,
            };
            rule.parameters.push(match tree {
                Tree::Text(name) => (change, name, Format::default()),
                tree => {
                    let mut fields = object(tree);
                    (
                        change,
                        required(&mut fields, "name", &place)?,
                        value(&mut fields, "value", &place)?,
                    )
                }
            });
        }
    }
    if fields.iter().any(|(name, _)| *name == "host") {
        rule.host = Some(value(&mut fields, "host", place)?);
    }
    Ok(rule)
}

fn edit(
    mut fields: Object,
    place: &Place<'_>,
    kind: Kind,
    guard: &Guard,
) -> Result<Edit, ConfigError> {
    let Some((action, tree)) = fields.pop() else {
        return Err(place.refuse("expected an edit"));
    };
    let place = &place.field(action);
    let name_of = |text: String, place: &Place<'_>, can_be_set: bool| {
        let Some(name) = FieldName::new(&text) else {
            return Err(place.refuse("expected a header name"));
        };
        if guard.protects(&name) {
            return Err(place.refuse("the header is protected: see `protected`"));
        }
        if name.is_pseudo() && !kind.owns(&name) {
            return Err(place.refuse("the message has no such pseudo-header"));
        }
        if kind.owns(&name) && !can_be_set {
            return Err(place.refuse("this header can only be set"));
        }
        Ok(name)
    };
    let mut fields = match tree {
        Tree::Text(name) if action == "remove_cookie" => {
            return Ok(Edit::RemoveCookie(cookie_name(name, place)?));
        }
        Tree::Text(name) => return name_of(name, place, false).map(Edit::Remove),
        tree => object(tree),
    };
    let action = match action {
        "remove_on_match" => {
            return match take(&mut fields, "key_matcher") {
                Some(Tree::Matcher(matcher)) => Ok(Edit::RemoveOnMatch(matcher)),
                _ => Err(place.field("key_matcher").missing()),
            };
        }
        "rename" | "copy" => {
            let moves = action == "rename";
            let from = required(&mut fields, "from", place)?;
            let from = if moves {
                name_of(from, &place.field("from"), false)?
            } else {
                FieldName::new(&from)
                    .ok_or_else(|| place.field("from").refuse("expected a header name"))?
            };
            let to = required(&mut fields, "to", place)?;
            return Ok(Edit::Copy {
                from,
                to: name_of(to, &place.field("to"), false)?,
                moves,
            });
        }
        "regex_rewrite" => {
            let name = required(&mut fields, "name", place)?;
            return Ok(Edit::Rewrite(
                name_of(name, &place.field("name"), true)?,
                rewrite(fields, place)?,
            ));
        }
        "set_cookie" => {
            let name = required(&mut fields, "name", place)?;
            return Ok(Edit::SetCookie {
                name: cookie_name(name, &place.field("name"))?,
                value: value(&mut fields, "value", place)?,
                attributes: attributes(fields, place)?,
            });
        }
        "cookie_attributes" => {
            let name = text(&mut fields, "name")
                .map(|name| cookie_name(name, &place.field("name")))
                .transpose()?;
            let attributes = attributes(fields, place)?;
            if attributes.is_empty() {
                return Err(place.refuse("expected an attribute"));
            }
            return Ok(Edit::CookieAttributes(name, attributes));
        }
        "append" => Action::Append,
        "add_if_absent" => Action::AddIfAbsent,
        "overwrite_if_exists" => Action::OverwriteIfExists,
        _ => Action::Set,
    };
    let name = required(&mut fields, "name", place)?;
    let can_be_set = matches!(action, Action::Set | Action::OverwriteIfExists);
    let name = name_of(name, &place.field("name"), can_be_set)?;
    let value = value(&mut fields, "value", place)?;
    let keep_empty = flag(&mut fields, "keep_empty_value").unwrap_or(false);
    if value.is_empty() && !keep_empty {
        let reason =
            "an edit with an empty value is never applied, unless `keep_empty_value` is true";
        return Err(place.field("value").refuse(reason));
    }
    if keep_empty && kind.owns(&name) {
        return Err(place
            .field("keep_empty_value")
            .refuse("this header cannot be empty"));
    }
    Ok(Edit::Value {
        action,
        name,
        value,
        keep_empty,
    })
}

fn cookie_name(name: String, place: &Place<'_>) -> Result<String, ConfigError> {
    // A cookie's name has the syntax of a header's name, but not its case.
    match FieldName::new(&name) {
        Some(field) if !field.is_pseudo() => Ok(name),
        _ => Err(place.refuse("expected the name of a cookie")),
    }
}

/// The attributes of a cookie: in this order, whatever that of the configuration is.
fn attributes(
    mut fields: Object,
    place: &Place<'_>,
) -> Result<Vec<cookie::Attribute>, ConfigError> {
    let mut attributes = Vec::new();
    for (field, name) in [
        ("path", "Path"),
        ("domain", "Domain"),
        ("max_age", "Max-Age"),
        ("secure", "Secure"),
        ("http_only", "HttpOnly"),
        ("same_site", "SameSite"),
        ("partitioned", "Partitioned"),
    ] {
        let Some(tree) = take(&mut fields, field) else {
            continue;
        };
        let value = match tree {
            Tree::Text(text)
                if text.is_empty()
                    || text.contains(|it: char| it.is_ascii_control() || it == ';') =>
            {
                return Err(place
                    .field(field)
                    .refuse("expected the value of an attribute"));
            }
            Tree::Text(text) => Some(text),
            Tree::Integer(number) => Some(number.to_string()),
            Tree::Bool(false) => None,
            _ => Some(String::new()),
        };
        attributes.push((name, value));
    }
    Ok(attributes)
}

fn rewrite(mut fields: Object, place: &Place<'_>) -> Result<Rewrite, ConfigError> {
    let pattern = place.field("pattern");
    let Some(tree) = take(&mut fields, "pattern") else {
        return Err(pattern.missing());
    };
    let regex = required(&mut object(tree), "regex", &pattern)?;
    let substitution = required(&mut fields, "substitution", place)?;
    Rewrite::new(&regex, &substitution).map_err(|reason| place.refuse(reason))
}

fn path(mut fields: Object, place: &Place<'_>) -> Result<Option<PathRewrite>, ConfigError> {
    if fields.iter().any(|(name, _)| *name == "set") {
        return Ok(Some(PathRewrite::Set(value(&mut fields, "set", place)?)));
    }
    let Some((name, tree)) = fields.pop() else {
        return Ok(None);
    };
    let place = place.field(name);
    let mut fields = object(tree);
    Ok(Some(if name == "prefix_rewrite" {
        let prefix = required(&mut fields, "prefix", &place)?;
        PathRewrite::Prefix(prefix, required(&mut fields, "substitution", &place)?)
    } else {
        PathRewrite::Regex(rewrite(fields, &place)?)
    }))
}

fn response_condition(
    mut fields: Object,
    place: &Place<'_>,
) -> Result<ResponseCondition, ConfigError> {
    let mut statuses = Vec::new();
    for (index, tree) in list(&mut fields, "status_codes")
        .into_iter()
        .flatten()
        .enumerate()
    {
        match tree {
            Tree::Integer(code @ 100..=599) => statuses.push(code),
            _ => {
                return Err(place
                    .field("status_codes")
                    .element(index)
                    .refuse("expected a status from 100 to 599"));
            }
        }
    }
    for tree in list(&mut fields, "status_classes").into_iter().flatten() {
        if let Tree::Text(class) = tree {
            statuses.extend(
                class
                    .bytes()
                    .next()
                    .map(|digit| u64::from(digit.wrapping_sub(b'0'))),
            );
        }
    }
    let mut condition = ResponseCondition {
        statuses,
        content_types: Vec::new(),
        headers: Vec::new(),
    };
    condition.content_types = matchers(&mut fields, "content_type");
    for (index, tree) in list(&mut fields, "headers")
        .into_iter()
        .flatten()
        .enumerate()
    {
        let place = place.field("headers");
        let place = place.element(index);
        let mut fields = object(tree);
        let name = required(&mut fields, "name", &place)?;
        let name = FieldName::new(&name)
            .ok_or_else(|| place.field("name").refuse("expected a header name"))?;
        let matcher = match take(&mut fields, "string_match") {
            Some(Tree::Matcher(matcher)) => Some(matcher),
            _ => None,
        };
        condition.headers.push((
            name,
            matcher,
            flag(&mut fields, "invert_match").unwrap_or(false),
        ));
    }
    Ok(condition)
}

fn cors(mut fields: Object, place: &Place<'_>) -> Result<Cors, ConfigError> {
    if !fields
        .iter()
        .any(|(name, _)| *name == "allow_origin_string_match")
    {
        return Err(place.field("allow_origin_string_match").missing());
    }
    let mut values = [const { String::new() }; 4];
    let names = [
        "allow_methods",
        "allow_headers",
        "expose_headers",
        "max_age",
    ];
    for (name, value) in names.into_iter().zip(&mut values) {
        *value = plain(&mut fields, name, place)?.unwrap_or_default();
    }
    let [allow_methods, allow_headers, expose_headers, max_age] = values;
    if max_age.bytes().any(|byte| !byte.is_ascii_digit()) {
        return Err(place
            .field("max_age")
            .refuse("expected a number of seconds, in quotes"));
    }
    Ok(Cors {
        origins: matchers(&mut fields, "allow_origin_string_match"),
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        credentials: flag(&mut fields, "allow_credentials").unwrap_or(false),
        private_network: flag(&mut fields, "allow_private_network_access").unwrap_or(false),
        forwards: flag(&mut fields, "forward_not_matching_preflights").unwrap_or(true),
        shadow: flag(&mut fields, "shadow_enabled").unwrap_or(false),
    })
}

fn matchers(fields: &mut Object, name: &str) -> Vec<StringMatcher> {
    let list = list(fields, name).into_iter().flatten();
    list.filter_map(|tree| match tree {
        Tree::Matcher(matcher) => Some(matcher),
        _ => None,
    })
    .collect()
}

/// A value with operators.
fn value(
    fields: &mut Object,
    name: &'static str,
    place: &Place<'_>,
) -> Result<Format, ConfigError> {
    let text = required(fields, name, place)?;
    Format::parse(&text).map_err(|reason| place.field(name).refuse(&reason))
}

fn required(
    fields: &mut Object,
    name: &'static str,
    place: &Place<'_>,
) -> Result<String, ConfigError> {
    text(fields, name).ok_or_else(|| place.field(name).missing())
}
