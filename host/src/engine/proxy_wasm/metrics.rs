//! The hostcalls of Proxy-Wasm for metrics.

use tidegate_semantics::hostcalls::metrics;
use tidegate_semantics::metrics::MetricKind;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{
    Guest, Host, memory, require_running, slice, status, write_u32, write_u64,
};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_define_metric", define_metric)?;
    linker.func_wrap("env", "proxy_increment_metric", increment_metric)?;
    linker.func_wrap("env", "proxy_record_metric", record_metric)?;
    linker.func_wrap("env", "proxy_get_metric", get_metric)?;
    Ok(())
}

fn define_metric(
    mut host: Host<'_>,
    kind: u32,
    name: u32,
    name_size: u32,
    id_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_define_metric")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        let kind = match kind {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            2 => MetricKind::Histogram,
            _ => return Err(Status::BadArgument),
        };
        let name = slice(memory, name, name_size)?;
        let id = metrics::define_any(&guest.services, kind, name)?;
        write_u32(memory, id_at, id)
    })))
}

fn increment_metric(mut host: Host<'_>, id: u32, by: i64) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_increment_metric")?;
    Ok(status(memory(&mut host).and_then(|(_, guest)| {
        let services = &guest.services;
        // As in Envoy, the number decides the kind, whether a metric has it or not.
        if !has_value(id) {
            return Err(Status::BadArgument);
        }
        match metrics::kind(services, id)? {
            // A counter only increases.
            MetricKind::Counter if by <= 0 => Err(Status::BadArgument),
            _ => Ok(metrics::add(services, id, by.cast_unsigned())?),
        }
    })))
}

fn record_metric(host: Host<'_>, id: u32, value: u64) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_record_metric")?;
    let recorded = metrics::record(&host.data().services, id, value);
    Ok(status(recorded.map_err(Status::from)))
}

fn get_metric(mut host: Host<'_>, id: u32, value_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_metric")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        if !has_value(id) {
            return Err(Status::BadArgument);
        }
        write_u64(memory, value_at, metrics::value(&guest.services, id)?)
    })))
}

/// Returns whether a number is that of a counter or gauge.
fn has_value(id: u32) -> bool {
    matches!(id % 4, 0 | 1)
}
