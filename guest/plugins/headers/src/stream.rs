//! What the plugin does with the messages of a stream. It does not depend on a proxy; [`live`](crate::live) connects it to one.

use plugin_matching::Request;

use crate::config::{PathRewrite, Plan, ResponseCondition, Rule};
use crate::cors::Decision;
use crate::edit::{Edit, Target};
use crate::query;
use crate::security::{SCHEME, STRICT_TRANSPORT};
use crate::source::{Message, SavedValues, Source};

/// What is known about a stream.
#[derive(Debug, Default)]
pub struct State {
    /// Which rules' conditions on the request hold. `None` until they are evaluated.
    holds: Option<Vec<bool>>,
    /// Which rules apply to the response. `None` until they are chosen.
    chosen: Option<Vec<bool>>,
    /// The origin, if it is allowed.
    origin: Option<Vec<u8>>,
    /// The values of [`Plan::saved`]: of the messages that the plugin has passed on.
    pub saved: SavedValues,
}

/// Which trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailers {
    /// Those of the request.
    Request,
    /// Those of the response.
    Response,
}

impl Plan {
    /// Decides about CORS. The caller answers a preflight.
    pub fn cors(&self, state: &mut State, source: &impl Source) -> Decision {
        let Some(cors) = &self.cors else {
            return Decision::None;
        };
        let decision = cors.decide(|name| source.field(Message::Request, name));
        if let Decision::Pass(origin) | Decision::Answer(_, origin) = &decision
            && !cors.shadow
        {
            state.origin.clone_from(origin);
        }
        decision
    }

    /// Changes the headers of a request. Returns whether the path or the host was rewritten, on which routes depend.
    pub fn request<T: Target + Source + Request>(&self, state: &mut State, message: &T) -> bool {
        self.evaluate(state, message);
        let mut rewritten = false;
        for rule in self.applying(state.holds.as_deref(), |rule| {
            rule.response_condition.is_none()
        }) {
            self.edit(&rule.request, message);
            rewritten |= rule.rewrite(message);
        }
        state.saved.request = values(&self.saved.request, Message::Request, message);
        rewritten
    }

    /// Sees a request that is not passed on, because CORS answers it: rules apply to its response.
    pub fn answered<T: Source + Request>(&self, state: &mut State, message: &T) {
        self.evaluate(state, message);
        state.saved.request = values(&self.saved.request, Message::Request, message);
    }

    /// Changes the headers of a response.
    pub fn response<T: Target + Source>(&self, state: &mut State, message: &T) {
        if let (Some(cors), Some(origin)) = (&self.cors, &state.origin) {
            for (name, value) in cors.response(origin) {
                message.set(name, value);
            }
        }
        for (name, value) in &self.security.headers {
            self.secure(name, value, message);
        }
        if let Some((value, force)) = &self.security.strict_transport
            && (*force || message.field(Message::Request, SCHEME).as_deref() == Some(b"https"))
        {
            self.secure(STRICT_TRANSPORT, value, message);
        }
        // Before the edits, which can change what the conditions read.
        if self
            .rules
            .iter()
            .any(|rule| rule.response_condition.is_some())
        {
            let holds = state.holds.as_deref();
            let is_chosen = |(index, rule): (usize, &Rule)| {
                let condition = rule.response_condition.as_ref();
                is_true(holds, index, rule)
                    && condition.is_none_or(|condition| condition.matches(message))
            };
            state.chosen = Some(self.rules.iter().enumerate().map(is_chosen).collect());
        }
        for rule in self.applying(state.chosen.as_deref().or(state.holds.as_deref()), |_| true) {
            self.edit(&rule.response, message);
        }
        state.saved.response = values(&self.saved.response, Message::Response, message);
    }

    /// Changes trailers.
    pub fn trailers<T: Target + Source>(&self, state: &State, which: Trailers, message: &T) {
        let is_request = which == Trailers::Request;
        let holds = match &state.chosen {
            Some(chosen) if !is_request => Some(chosen.as_slice()),
            _ => state.holds.as_deref(),
        };
        for rule in self.applying(holds, |rule| {
            !is_request || rule.response_condition.is_none()
        }) {
            let edits = if is_request {
                &rule.request_trailers
            } else {
                &rule.response_trailers
            };
            self.edit(edits, message);
        }
    }

    /// Evaluates the conditions on the request before anything changes.
    fn evaluate(&self, state: &mut State, request: &impl Request) {
        // Most configurations have no conditions, and allocate nothing.
        if self.rules.iter().any(|rule| rule.condition.is_some()) {
            let holds = |rule: &Rule| rule.condition.as_ref().is_none_or(|it| it.matches(request));
            state.holds = Some(self.rules.iter().map(holds).collect());
        }
    }

    /// The rules that apply: of those that are eligible and hold, all or the first.
    fn applying<'a>(
        &'a self,
        holds: Option<&'a [bool]>,
        eligible: impl Fn(&Rule) -> bool,
    ) -> impl Iterator<Item = &'a Rule> {
        let limit = if self.first_match { 1 } else { usize::MAX };
        let rules = self.rules.iter().enumerate();
        rules
            .filter(move |(index, rule)| is_true(holds, *index, rule) && eligible(rule))
            .map(|(_, rule)| rule)
            .take(limit)
    }

    fn edit<T: Target + Source>(&self, edits: &[Edit], message: &T) {
        for edit in edits {
            edit.apply(message, message, &self.guard);
        }
    }

    fn secure(&self, name: &str, value: &str, message: &impl Target) {
        if self.security.overwrite || message.values(name).is_empty() {
            message.set(name, value.as_bytes());
        }
    }
}

/// The values of fields that are read later.
#[inline(never)]
fn values(names: &[String], of: Message, message: &impl Source) -> Vec<Option<Vec<u8>>> {
    names.iter().map(|name| message.field(of, name)).collect()
}

/// Whether a rule is one of those that hold. If the plugin has not seen the request, because another one has answered it, rules with
/// conditions on it do not hold.
fn is_true(holds: Option<&[bool]>, index: usize, rule: &Rule) -> bool {
    match holds {
        Some(holds) => holds.get(index).copied().unwrap_or(false),
        None => rule.condition.is_none(),
    }
}

impl Rule {
    /// Rewrites path and host. Returns whether one of them changed.
    fn rewrite<T: Target + Source>(&self, message: &T) -> bool {
        let mut changed = false;
        if self.path.is_some() || !self.parameters.is_empty() {
            let former = message.field(Message::Request, ":path").unwrap_or_default();
            let mut path = former.clone();
            if let Some(rewrite) = &self.path {
                let (start, query) = query::split(&path);
                if let Some(mut rewritten) = rewrite.apply(start, message) {
                    if let Some(query) = query {
                        rewritten.push(b'?');
                        rewritten.extend_from_slice(query);
                    }
                    path = rewritten;
                }
            }
            for edit in &self.parameters {
                let value = edit.value.render(message);
                path = query::change(&path, edit.change, edit.name.as_bytes(), &value);
            }
            if path != former && !path.is_empty() {
                message.set(":path", &path);
                changed = true;
            }
        }
        if let Some(host) = &self.host {
            let host = host.render(message);
            if !host.is_empty() {
                message.set(":authority", &host);
                changed = true;
            }
        }
        changed
    }
}

impl PathRewrite {
    /// The new path, if it changes.
    fn apply(&self, path: &[u8], source: &impl Source) -> Option<Vec<u8>> {
        let mut rewritten = match self {
            PathRewrite::Set(value) => {
                let value = value.render(source);
                // A path that an operator yields can have a query, which belongs to another path.
                query::split(&value).0.to_vec()
            }
            PathRewrite::Prefix(prefix, substitution) => {
                let mut rewritten = substitution.as_bytes().to_vec();
                rewritten.extend_from_slice(path.strip_prefix(prefix.as_bytes())?);
                if rewritten.is_empty() {
                    rewritten.push(b'/');
                }
                rewritten
            }
            PathRewrite::Regex(rewrite) => rewrite.apply(path)?,
        };
        if rewritten.is_empty() {
            return None;
        }
        // A path has no spaces, which would end it in HTTP/1.1.
        rewritten.retain(|byte| *byte > b' ');
        if rewritten.first() != Some(&b'/') {
            rewritten.insert(0, b'/');
        }
        Some(rewritten)
    }
}

impl ResponseCondition {
    fn matches<T: Target + Source>(&self, response: &T) -> bool {
        let first = |name: &str| response.field(Message::Response, name);
        if !self.statuses.is_empty() {
            let status = first(":status").unwrap_or_default();
            let status = status.iter().fold(0_u64, |sum, digit| {
                sum * 10 % 10_000 + u64::from(digit.wrapping_sub(b'0'))
            });
            if !self
                .statuses
                .iter()
                .any(|wanted| *wanted == status || *wanted == status / 100)
            {
                return false;
            }
        }
        if !self.content_types.is_empty() {
            let mut media_type = first("content-type").unwrap_or_default();
            if let Some(end) = media_type.iter().position(|byte| *byte == b';') {
                media_type.truncate(end);
            }
            media_type.make_ascii_lowercase();
            let media_type = media_type.trim_ascii();
            if !self
                .content_types
                .iter()
                .any(|matcher| matcher.matches(media_type))
            {
                return false;
            }
        }
        self.headers
            .iter()
            .all(|it| match (&it.matcher, first(&it.name)) {
                (Some(matcher), Some(value)) => matcher.matches(&value) != it.invert,
                (Some(_), None) => false,
                (None, value) => value.is_some() != it.invert,
            })
    }
}
