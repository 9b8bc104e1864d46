//! The tables of the load comparison.

use tidegate_benches::candidate::Family;
use tidegate_benches::latency::Latency;
use tidegate_benches::messages::Messages;
use tidegate_benches::statistics::{self, Slice};
use tidegate_benches::table::{Table, figure};

use crate::linux::Row;

/// Prints a table of the plugins in Envoy, and one of proxies, as far as there are rows.
pub fn print(rows: &[Row]) {
    let (proxies, plugins): (Vec<&Row>, Vec<&Row>) = rows
        .iter()
        .partition(|row| row.candidate.family == Family::Proxy);
    if !plugins.is_empty() {
        println!("{}", of_plugins(&plugins));
        println!(
            "over: paired median over the family's first row, median of the starts; ratio: of these, to the Rust SDK twin, to \
             the floor and to the floor with contexts\n"
        );
    }
    if !proxies.is_empty() {
        println!("{}", of_proxies(&proxies));
        println!(
            "ratios: paired median, median of the starts, to Envoy without plugins and to Envoy with the same chain of adapted \
             plugins; p50, p99: latency in microseconds at half of the row's own req/s\n"
        );
    }
}

/// The cost of plugins: what a request costs more than without.
fn of_plugins(rows: &[&Row]) -> Table {
    let mut table = Table::new([
        "candidate",
        "req/s",
        "cpu min",
        "cpu median",
        "over",
        "over/twin",
        "over/floor",
        "over/contexts",
        "RSS MB",
        "module B",
    ]);
    let over = |family: Family, part: &str| {
        let base = rows.iter().find(|row| row.candidate.family == family)?;
        let row = rows
            .iter()
            .find(|row| row.candidate.family == family && row.candidate.name.contains(part))?;
        let starts = row.starts.iter().zip(&base.starts);
        Some(statistics::median(
            starts.map(|(slices, base)| statistics::overhead(slices, base)),
        ))
    };
    for row in rows {
        let family = row.candidate.family;
        let name = &row.candidate.name;
        let own = over(family, name)
            .filter(|_| row.candidate.works)
            .unwrap_or(f64::NAN);
        let ratio = |part: &str| figure(own / over(family, part).unwrap_or(f64::NAN), 2);
        table.row(vec![
            name.clone(),
            figure(statistics::median(slices(row).map(Slice::rate)), 0),
            figure(statistics::minimum(slices(row).map(Slice::cost)), 2),
            figure(statistics::median(slices(row).map(Slice::cost)), 2),
            figure(over(family, name).unwrap_or(f64::NAN), 2),
            ratio("twin"),
            ratio("floor"),
            ratio("with contexts"),
            megabytes(row),
            row.candidate
                .module
                .as_ref()
                .map_or_else(|| "-".to_owned(), |module| module.len().to_string()),
        ]);
    }
    table
}

/// The cost of whole proxies.
fn of_proxies(rows: &[&Row]) -> Table {
    let mut table = Table::new([
        "candidate",
        "messages",
        "req/s",
        "cpu min",
        "cpu median",
        "/plain",
        "/same chain",
        "p50",
        "p99",
        "RSS MB",
    ]);
    let find = |messages: Messages, part: &str, plugins: usize| {
        rows.iter().find(|row| {
            row.messages == messages
                && row.candidate.plugins == plugins
                && row.candidate.name.contains(part)
        })
    };
    for messages in Messages::ALL {
        for row in rows.iter().filter(|row| row.messages == messages) {
            let ratio = |base: Option<&&Row>| {
                let base = base.map_or(&[][..], |base| &base.starts);
                let starts = row.starts.iter().zip(base);
                let ratios = starts.map(|(slices, base)| statistics::ratio(slices, base));
                figure(statistics::median(ratios), 3)
            };
            let latency = |part: fn(&Latency) -> std::time::Duration| {
                let values = row.latencies.iter().map(|it| part(it).as_secs_f64() * 1e6);
                figure(statistics::median(values), 0)
            };
            table.row(vec![
                row.candidate.name.clone(),
                messages.name().to_owned(),
                figure(statistics::median(slices(row).map(Slice::rate)), 0),
                figure(statistics::minimum(slices(row).map(Slice::cost)), 2),
                figure(statistics::median(slices(row).map(Slice::cost)), 2),
                ratio(find(messages, "envoy, plain", 0)),
                ratio(find(messages, "envoy, adapted", row.candidate.plugins)),
                latency(|it| it.p50),
                latency(|it| it.p99),
                megabytes(row),
            ]);
        }
    }
    table
}

fn slices(row: &Row) -> impl Iterator<Item = &Slice> {
    row.starts.iter().flatten()
}

fn megabytes(row: &Row) -> String {
    figure(row.resident as f64 / 1e6, 1)
}
