//! `http-calls` and `timers` for components.

use tidegate_semantics::fields::Fields;
use tidegate_semantics::hostcalls::http_calls::Call;
use tidegate_semantics::hostcalls::{self, Error};
use tidegate_semantics::port::CallOutcome;
use wasmtime::component::Resource;

use crate::bindings::HttpStream;
use crate::bindings::tidegate::proxy::{http_call_types, http_calls, timers, types};
use crate::engine::component::guest::Guest;

type GuestFields = Vec<(String, Vec<u8>)>;

impl http_call_types::Host for Guest {}

impl http_calls::Host for Guest {
    fn send_for_stream(
        &mut self,
        http: Resource<HttpStream>,
        cluster: String,
        request: http_call_types::Request,
        timeout_ms: u32,
    ) -> Result<u32, types::Error> {
        self.stream(http.rep(), hostcalls::properties::check_open)?;
        self.check_phase()?;
        let (services, stream) = (&self.services, http.rep());
        with_call(&cluster, request, timeout_ms, |call| {
            hostcalls::http_calls::send_for_stream(services, stream, call)
        })
    }

    fn send_for_plugin(
        &mut self,
        cluster: String,
        request: http_call_types::Request,
        timeout_ms: u32,
    ) -> Result<u32, types::Error> {
        self.check_phase()?;
        let (services, plugin) = (&self.services, self.plugin());
        with_call(&cluster, request, timeout_ms, |call| {
            hostcalls::http_calls::send_for_plugin(services, plugin, call)
        })
    }
}

impl timers::Host for Guest {
    fn set_period(&mut self, milliseconds: u32) -> Result<(), types::Error> {
        hostcalls::timers::set_period(&self.services, self.plugin(), milliseconds);
        Ok(())
    }
}

impl Guest {
    fn check_phase(&self) -> Result<(), Error> {
        match self.is_in_lifecycle || self.current.is_none() {
            true => Err(Error::NotAvailable),
            false => Ok(()),
        }
    }
}

fn with_call<R>(
    cluster: &str,
    request: http_call_types::Request,
    timeout_ms: u32,
    send: impl FnOnce(Call<'_>) -> Result<R, Error>,
) -> Result<R, types::Error> {
    let http_call_types::Request {
        headers,
        body,
        trailers,
    } = request;
    let call = Call {
        cluster: cluster.as_bytes(),
        headers: slices(&headers),
        body: body.into(),
        trailers: slices(&trailers),
        timeout_ms,
    };
    Ok(send(call)?)
}

fn slices(fields: &GuestFields) -> Vec<(&[u8], &[u8])> {
    fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), &value[..]))
        .collect()
}

/// Converts the outcome of a call to the type of the callbacks.
pub(super) fn to_guest(outcome: CallOutcome) -> http_call_types::Outcome {
    match outcome {
        CallOutcome::Response(response) => {
            http_call_types::Outcome::Response(http_call_types::Response {
                headers: to_entries(&response.headers),
                body: response.body.into(),
                trailers: to_entries(&response.trailers),
            })
        }
        CallOutcome::Reset => http_call_types::Outcome::Reset,
    }
}

fn to_entries(fields: &Fields) -> GuestFields {
    fields
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}
