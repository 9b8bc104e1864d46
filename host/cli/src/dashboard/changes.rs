//! Compares the fields before and after a callback, by name and value.

use std::collections::HashSet;

use tidegate_host::Fields;

/// A value, and whether it was added, removed or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Same(&'a [u8]),
    Added(&'a [u8]),
    Removed(&'a [u8]),
    Changed(&'a [u8], &'a [u8]),
}

/// Compares fields. Names are in their original order, followed by new ones. A different order alone is not a change.
pub fn changes<'a>(before: &'a Fields, after: &'a Fields) -> Vec<(&'a str, Change<'a>)> {
    let mut rows = Vec::new();
    let mut done = HashSet::new();
    let names = before.iter().chain(after.iter());
    for name in names.map(|(name, _)| name.as_str()) {
        if !done.insert(name) {
            continue;
        }
        let mut gone: Vec<&[u8]> = values(before, name).collect();
        let mut same = Vec::new();
        let mut new = Vec::new();
        for value in values(after, name) {
            match gone.iter().position(|it| *it == value) {
                Some(at) => same.push(gone.remove(at)),
                None => new.push(value),
            }
        }
        rows.extend(same.into_iter().map(|value| (name, Change::Same(value))));
        match (gone.as_slice(), new.as_slice()) {
            ([from], [to]) => rows.push((name, Change::Changed(from, to))),
            _ => {
                rows.extend(gone.into_iter().map(|value| (name, Change::Removed(value))));
                rows.extend(new.into_iter().map(|value| (name, Change::Added(value))));
            }
        }
    }
    rows
}

fn values<'a>(fields: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.values(name).map(|value| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tidegate_host::Name;

    use super::*;

    fn fields(list: &[(&str, &'static str)]) -> Fields {
        list.iter()
            .map(|(name, value)| {
                (
                    Name::parse(name.as_bytes()).unwrap(),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn values_are_same_added_removed_or_changed() {
        let before = fields(&[
            (":path", "/"),
            ("a", "1"),
            ("a", "2"),
            ("b", "1"),
            ("c", "1"),
        ]);
        let after = fields(&[
            ("new", "1"),
            (":path", "/other"),
            ("a", "2"),
            ("c", "1"),
            ("c", "2"),
        ]);
        assert_eq!(
            changes(&before, &after),
            [
                (":path", Change::Changed(b"/", b"/other")),
                ("a", Change::Same(b"2")),
                ("a", Change::Removed(b"1")),
                ("b", Change::Removed(b"1")),
                ("c", Change::Same(b"1")),
                ("c", Change::Added(b"2")),
                ("new", Change::Added(b"1")),
            ]
        );
        assert!(
            changes(&after, &after)
                .iter()
                .all(|(_, change)| matches!(change, Change::Same(_)))
        );
        assert!(changes(&Fields::new(), &Fields::new()).is_empty());
    }
}
