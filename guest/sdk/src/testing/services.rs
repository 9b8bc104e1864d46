//! The services that a plugin calls, and their answers.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use tidegate_semantics::{
    clock::after,
    port::{CallOutcome, manual::SentCall},
    state::local_response::RequestKind,
};

use crate::testing::Message;

/// How a service answers a call.
///
/// A [`Message`] is the response of a service, so `Message::response(200).into()` is an answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The service responds.
    Response(Message),
    /// The proxy cannot connect to the service. The plugin gets a response with status 503.
    Unreachable,
    /// The connection is closed before the response is complete.
    Reset,
    /// The service does not answer, so the call reaches its timeout. The plugin then gets a response with status 504.
    Never,
    /// The service answers after a time. If the timeout is reached before, the plugin gets a response with status 504.
    After(Duration, Box<Answer>),
}

/// The function that answers the calls to a service.
type Service = Box<dyn FnMut(&Message) -> Answer>;

/// The services, and the calls that they have not answered yet.
#[derive(Default)]
pub(super) struct Services {
    /// The services by the authority to which requests to them are sent.
    services: RefCell<BTreeMap<String, Service>>,
    /// How calls will end, by time and number.
    outcomes: RefCell<BTreeMap<(u64, u64), Ending>>,
    last: RefCell<u64>,
}

/// How a call ends.
type Ending = (Box<dyn FnOnce(CallOutcome)>, CallOutcome);

// === impl Answer ===

impl Answer {
    /// Returns an answer that the service sends after a time.
    pub fn after(time: Duration, answer: impl Into<Answer>) -> Self {
        Answer::After(time, Box::new(answer.into()))
    }
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        Answer::Response(message)
    }
}

// === impl Services ===

impl Services {
    pub(super) fn add(&mut self, authority: &str, service: Service) {
        self.services
            .get_mut()
            .insert(authority.to_owned(), service);
    }

    /// Lets a service answer a call, at the monotonic time `now`. Returns the request.
    #[track_caller]
    pub(super) fn receive(&self, sent: SentCall, now: u64) -> Message {
        let SentCall { call, done } = sent;
        let mut request = Message::received(&call.headers, call.body.is_empty());
        if !call.body.is_empty() {
            request.receive(&call.body, true);
        }
        let service = self.services.borrow_mut().remove(call.authority.as_str());
        let answer = match service {
            Some(mut service) => {
                let answer = service(&request);
                let authority = call.authority.to_string();
                self.services.borrow_mut().insert(authority, service);
                answer
            }
            None => Answer::Unreachable,
        };
        let kind = RequestKind::from_headers(&call.headers);
        let (at, outcome) = decide(answer, now, kind);
        let ending = match call.deadline {
            Some(deadline) if at.is_none_or(|at| at >= deadline) => {
                Some((deadline, CallOutcome::timed_out(kind)))
            }
            _ => at.map(|at| (at, outcome)),
        };
        if let Some((at, outcome)) = ending {
            let number = self.next_number();
            let mut outcomes = self.outcomes.borrow_mut();
            outcomes.insert((at, number), (done, outcome));
        }
        request
    }

    /// Returns the time of the next answer, if there is one.
    pub(super) fn next_time(&self) -> Option<u64> {
        self.outcomes.borrow().keys().next().map(|(at, _)| *at)
    }

    /// Ends the next call whose time has come. Returns `false` if there is none.
    pub(super) fn end_call(&self, now: u64) -> bool {
        let mut outcomes = self.outcomes.borrow_mut();
        let next = outcomes.first_entry().filter(|it| it.key().0 <= now);
        let Some((done, outcome)) = next.map(|it| it.remove()) else {
            return false;
        };
        drop(outcomes);
        done(outcome);
        true
    }

    fn next_number(&self) -> u64 {
        let mut last = self.last.borrow_mut();
        *last += 1;
        *last
    }
}

/// Returns when a call ends and how, if it ends.
#[track_caller]
fn decide(answer: Answer, now: u64, kind: RequestKind) -> (Option<u64>, CallOutcome) {
    match answer {
        Answer::Response(response) => (Some(now), response.to_outcome()),
        Answer::Unreachable => (Some(now), CallOutcome::unreachable(kind)),
        Answer::Reset => (Some(now), CallOutcome::Reset),
        Answer::Never => (None, CallOutcome::Reset),
        Answer::After(time, answer) => decide(*answer, after(now, time), kind),
    }
}
