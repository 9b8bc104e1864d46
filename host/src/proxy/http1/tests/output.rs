//! Bytes to be sent.

use std::io::IoSlice;

use bytes::Bytes;

use super::{Output, sent};

/// Data that is too large to be copied.
fn large(byte: u8) -> Bytes {
    vec![byte; 2000].into()
}

/// Returns the sizes of the slices.
fn sizes(output: &Output) -> Vec<usize> {
    let mut slices = [IoSlice::new(&[]); 8];
    let count = output.slices(&mut slices);
    slices[..count].iter().map(|slice| slice.len()).collect()
}

#[test]
fn small_data_is_copied_and_large_data_is_not() {
    let mut output = Output::default();
    assert!(output.is_empty() && sizes(&output).is_empty());
    output.tail().extend_from_slice(b"head");
    output.push(Bytes::from(vec![0; 1024]));
    assert_eq!(sizes(&output), [1028]);
    let data = large(1);
    output.push(data.clone());
    output.push("end".into());
    assert_eq!(sizes(&output), [1028, 2000, 3]);
    let mut slices = [IoSlice::new(&[]); 8];
    output.slices(&mut slices);
    assert_eq!(slices[1].as_ptr(), data.as_ptr());
    assert_eq!((output.len(), output.is_empty()), (3031, false));
}

#[test]
fn no_more_slices_are_filled_than_fit() {
    let mut output = Output::default();
    for byte in 0..3 {
        output.push(large(byte));
    }
    output.push("end".into());
    let mut slices = [IoSlice::new(&[]); 2];
    assert_eq!(output.slices(&mut slices), 2);
    assert_eq!((slices[0][0], slices[1][0]), (0, 1));
    assert_eq!(output.slices(&mut []), 0);
}

#[test]
fn every_prefix_can_be_removed() {
    let fill = || {
        let mut output = Output::default();
        output.tail().extend_from_slice(b"head");
        output.push(large(1));
        output.push(large(2));
        output.push("end".into());
        output
    };
    let all = sent(&mut fill());
    assert_eq!(all.len(), fill().len());
    for count in [
        0, 1, 3, 4, 5, 2003, 2004, 2005, 4003, 4004, 4005, 4006, 4007, 5000,
    ] {
        let mut output = fill();
        output.advance(count);
        let rest = all.get(count..).unwrap_or_default();
        assert_eq!(
            (output.len(), output.is_empty()),
            (rest.len(), rest.is_empty()),
            "{count}"
        );
        // What is added afterwards follows.
        output.push("more".into());
        assert_eq!(sent(&mut output), [rest, b"more"].concat(), "{count}");
    }
}

#[test]
fn numbers_are_hexadecimal() {
    let mut output = Output::default();
    for number in [0, 10, 255, usize::MAX] {
        output.hexadecimal(number);
        output.tail().extend_from_slice(b" ");
    }
    assert_eq!(
        sent(&mut output),
        format!("0 a ff {:x} ", usize::MAX).as_bytes()
    );
}

#[test]
fn cleared_output_is_empty() {
    let mut output = Output::default();
    output.push(large(1));
    output.push("end".into());
    output.clear();
    assert!(output.is_empty() && sizes(&output).is_empty());
}
