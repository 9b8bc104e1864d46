//! `http-calls`: requests to other services.

use tidegate_semantics::hostcalls::{self, http_calls::Call};

use super::{
    current::{Current, current, with_stream},
    http_call_types::{CallId, Request},
    http_streams::HttpStream,
    types::Error,
};

#[track_caller]
pub fn send_for_stream(
    for_: &HttpStream,
    cluster: &str,
    request: &Request,
    timeout_ms: u32,
) -> Result<CallId, Error> {
    let stream = for_.handle();
    with_stream(stream, |_, stream| {
        hostcalls::properties::check_open(stream)
    })?;
    let current = current();
    check_phase(&current)?;
    let call = call(cluster, request, timeout_ms);
    let sent = hostcalls::http_calls::send_for_stream(&current.services, stream, call)?;
    Ok(sent)
}

#[track_caller]
pub fn send_for_plugin(cluster: &str, request: &Request, timeout_ms: u32) -> Result<CallId, Error> {
    let current = current();
    check_phase(&current)?;
    let call = call(cluster, request, timeout_ms);
    let sent = hostcalls::http_calls::send_for_plugin(&current.services, current.plugin(), call)?;
    Ok(sent)
}

fn check_phase(current: &Current) -> Result<(), Error> {
    match current.is_in_lifecycle {
        true => Err(Error::NotAvailable),
        false => Ok(()),
    }
}

fn call<'a>(cluster: &'a str, request: &'a Request, timeout_ms: u32) -> Call<'a> {
    Call {
        cluster: cluster.as_bytes(),
        headers: slices(&request.headers),
        body: request.body.clone().into(),
        trailers: slices(&request.trailers),
        timeout_ms,
    }
}

fn slices(fields: &[(String, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.as_bytes(), &value[..]))
        .collect()
}
