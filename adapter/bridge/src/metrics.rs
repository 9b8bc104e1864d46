//! `metrics`: a handle is the host's number of the metric, so there is nothing to keep and nothing to free.

use crate::abi;
use crate::memory::{RetPtr, string};
use crate::state::state;
use crate::types::{self, Error};

/// The maximum length of a name in bytes.
const MAX_NAME: usize = 1024;

const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;

#[unsafe(export_name = "metrics#[resource-drop]counter")]
extern "C" fn drop_counter(_: u32) {}

#[unsafe(export_name = "metrics#[resource-drop]gauge")]
extern "C" fn drop_gauge(_: u32) {}

#[unsafe(export_name = "metrics#[resource-drop]histogram")]
extern "C" fn drop_histogram(_: u32) {}

#[unsafe(export_name = "metrics#[static]counter.define")]
extern "C" fn define_counter(name: *const u8, len: usize, ret: *mut u8) {
    define(COUNTER, name, len, ret);
}

#[unsafe(export_name = "metrics#[static]gauge.define")]
extern "C" fn define_gauge(name: *const u8, len: usize, ret: *mut u8) {
    define(GAUGE, name, len, ret);
}

#[unsafe(export_name = "metrics#[static]histogram.define")]
extern "C" fn define_histogram(name: *const u8, len: usize, ret: *mut u8) {
    define(HISTOGRAM, name, len, ret);
}

#[unsafe(export_name = "metrics#[method]counter.add")]
extern "C" fn add_to_counter(counter: u32, by: u64) {
    // The host increments by a signed number, and records an unsigned one, which a counter adds.
    _ = abi::proxy_record_metric(counter, by);
}

#[unsafe(export_name = "metrics#[method]counter.value")]
extern "C" fn counter_value(counter: u32) -> u64 {
    value(counter)
}

#[unsafe(export_name = "metrics#[method]gauge.set")]
extern "C" fn set_gauge(gauge: u32, value: u64) {
    _ = abi::proxy_record_metric(gauge, value);
}

#[unsafe(export_name = "metrics#[method]gauge.add")]
extern "C" fn add_to_gauge(gauge: u32, by: i64) {
    _ = abi::proxy_increment_metric(gauge, by);
}

#[unsafe(export_name = "metrics#[method]gauge.value")]
extern "C" fn gauge_value(gauge: u32) -> u64 {
    value(gauge)
}

#[unsafe(export_name = "metrics#[method]histogram.observe")]
extern "C" fn observe(histogram: u32, value: u64) {
    _ = abi::proxy_record_metric(histogram, value);
}

/// Defines a metric, and stores a `result<counter, error>`, or the same for another kind.
#[inline(never)]
fn define(kind: u32, name: *const u8, len: usize, ret: *mut u8) {
    // SAFETY: the caller provides space for the result, and the name is valid for the duration of the call.
    let (ret, name) = unsafe { (RetPtr::new(ret), string(name, len)) };
    let checked = match name.last() {
        // Envoy ignores dots at the end.
        None | Some(b'.') => Err(Error::InvalidArgument),
        Some(_) if name.len() > MAX_NAME => Err(Error::TooLarge),
        Some(_) => Ok(()),
    };
    let id = state().data.as_ptr();
    let outcome = checked.and_then(|()| {
        // SAFETY: the name stays where it is while the host reads it, and the address points to a cell of the state.
        let status = unsafe { abi::proxy_define_metric(kind, name.as_ptr(), name.len(), id) };
        types::room(status)
    });
    match outcome {
        Err(error) => types::store_error(ret, 4, error),
        Ok(()) => {
            ret.byte(0, 0);
            // SAFETY: the host has written the number.
            ret.word(4, unsafe { id.read() });
        }
    }
}

fn value(metric: u32) -> u64 {
    let value = state().time.as_ptr().cast::<u64>();
    // SAFETY: the address points to a cell of the state, which has room for eight bytes.
    unsafe {
        value.write(0);
        _ = abi::proxy_get_metric(metric, value);
        value.read()
    }
}
