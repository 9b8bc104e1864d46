//! `--dashboard`: a web page on a loopback address that shows what each plugin received and changed in the latest requests, and the latest
//! events.
//!
//! Workers only pass events on and never wait: events that the dashboard cannot process in time are dropped and counted. Everything else
//! runs on the dashboard's thread: `ring` keeps the latest requests, `record` is one request, `events` keeps callbacks outside of requests,
//! `changes` compares fields, `secrets` masks them, `view` converts everything to JSON, and `server` serves that JSON and the page,
//! `page.html`.

mod changes;
mod events;
mod record;
mod ring;
mod secrets;
mod server;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use clap::Args;
use tidegate_host::Observer;
use tidegate_host::observe::{Event, PluginEvent};
use tokio::sync::{mpsc, oneshot};

/// The dashboard options of all commands that serve.
#[derive(Args, Clone, Debug)]
pub struct DashboardArgs {
    /// Serve a web page that shows what each plugin receives and changes, on a loopback address [default: 127.0.0.1:8081].
    /// Plugins run more slowly, because the instructions that they execute are counted
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:8081",
        value_parser = loopback
    )]
    dashboard: Option<SocketAddr>,

    /// Show the values of `authorization`, `proxy-authorization`, `cookie` and `set-cookie` in the dashboard
    #[arg(long, requires = "dashboard")]
    dashboard_secrets: bool,
}

/// A running dashboard. Dropping it stops it.
pub struct Dashboard {
    address: SocketAddr,
    sender: Arc<EventSender>,
    _stop: oneshot::Sender<()>,
}

/// Passes events to the dashboard's thread.
struct EventSender {
    messages: mpsc::UnboundedSender<Message>,
    backlog: Arc<Backlog>,
}

/// The backlog: the size of the messages that the dashboard has not processed yet, and the number of dropped ones.
#[derive(Default)]
struct Backlog {
    bytes: AtomicUsize,
    lost: AtomicU64,
}

/// A message to the dashboard's thread.
enum Message {
    Stream(StreamMessage),
    Plugin(PluginMessage),
}

/// An event of a stream, with its time.
struct StreamMessage {
    stream: u64,
    event: Event,
    at: Instant,
    time: SystemTime,
    weight: usize,
}

/// An event of a plugin that belongs to no stream, with its time.
struct PluginMessage {
    event: PluginEvent,
    time: SystemTime,
    weight: usize,
}

/// The maximum size of the backlog, in bytes.
const MOST_WAITING: usize = 16 << 20;

// === impl DashboardArgs ===

impl DashboardArgs {
    /// Starts the dashboard, if it is enabled.
    pub fn start(&self) -> anyhow::Result<Option<Dashboard>> {
        let Some(address) = self.dashboard else {
            return Ok(None);
        };
        Dashboard::start(address, self.dashboard_secrets).map(Some)
    }
}

/// Parses an address, which must be a loopback address.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        "expected an address IP:PORT, such as 127.0.0.1:8081 or [::1]:8081".to_owned()
    })?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(
        "the dashboard shows the contents of requests to anyone who can connect, so it listens on loopback addresses only, such as 127.0.0.1:8081 or [::1]:8081; use a tunnel such as `ssh -L` to reach it from elsewhere"
            .to_owned(),
    )
}

// === impl Dashboard ===

impl Dashboard {
    fn start(address: SocketAddr, secrets: bool) -> anyhow::Result<Self> {
        let failed = || format!("cannot serve the dashboard on {address}");
        let listener = std::net::TcpListener::bind(address).with_context(failed)?;
        listener.set_nonblocking(true).with_context(failed)?;
        let address = listener.local_addr().with_context(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the dashboard")?;
        let (messages, inbox) = mpsc::unbounded_channel();
        let backlog = Arc::new(Backlog::default());
        let (stop, stopped) = oneshot::channel();
        let collector = server::Collector::new(inbox, backlog.clone(), secrets);
        std::thread::Builder::new()
            .name("tidegate-dashboard".to_owned())
            .spawn(move || server::run(&runtime, listener, collector, stopped))
            .context("cannot start the dashboard")?;
        Ok(Self {
            address,
            sender: Arc::new(EventSender { messages, backlog }),
            _stop: stop,
        })
    }

    /// The address on which it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The observer that receives events of streams and plugins.
    pub fn observer(&self) -> Arc<dyn Observer> {
        self.sender.clone()
    }
}

// === impl EventSender ===

impl EventSender {
    /// Sends a message, unless the backlog is larger than `most` bytes.
    fn hand_over(&self, message: Message, weight: usize, most: usize) {
        let waiting = self.backlog.bytes.fetch_add(weight, Ordering::Relaxed);
        if waiting.saturating_add(weight) > most || self.messages.send(message).is_err() {
            self.backlog.bytes.fetch_sub(weight, Ordering::Relaxed);
            self.backlog.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for EventSender {
    fn event(&self, stream: u64, event: Event) {
        let weight = record::weight(&event);
        // The end of a request is small, and without it the request would be shown as in progress forever.
        let most = match event {
            Event::Ended => 2 * MOST_WAITING,
            _ => MOST_WAITING,
        };
        let message = StreamMessage {
            stream,
            event,
            at: Instant::now(),
            time: SystemTime::now(),
            weight,
        };
        self.hand_over(Message::Stream(message), weight, most);
    }

    fn plugin_event(&self, event: PluginEvent) {
        let weight = events::weight(&event);
        let time = SystemTime::now();
        let message = PluginMessage {
            event,
            time,
            weight,
        };
        self.hand_over(Message::Plugin(message), weight, MOST_WAITING);
    }

    fn wants_fuel(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_accepted() {
        for good in ["127.0.0.1:0", "127.8.9.1:80", "[::1]:8081"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:8081", "[::]:8081", "192.168.1.2:80"] {
            let reason = loopback(bad).unwrap_err();
            assert!(
                reason.contains("loopback addresses only"),
                "{bad}: {reason}"
            );
        }
        assert!(loopback("8081").unwrap_err().contains("IP:PORT"));
    }

    #[test]
    fn full_backlog_drops_all_events_but_ended() {
        let (messages, mut inbox) = mpsc::unbounded_channel();
        let backlog = Arc::new(Backlog::default());
        let sender = EventSender {
            messages,
            backlog: backlog.clone(),
        };
        backlog.bytes.store(MOST_WAITING, Ordering::Relaxed);
        sender.event(1, Event::Reset);
        assert!(inbox.try_recv().is_err());
        assert_eq!(backlog.lost.load(Ordering::Relaxed), 1);
        sender.plugin_event(events::tests::event());
        assert!(inbox.try_recv().is_err());
        assert_eq!(backlog.lost.load(Ordering::Relaxed), 2);
        sender.event(1, Event::Ended);
        let Message::Stream(message) = inbox.try_recv().unwrap() else {
            panic!("an event of a plugin");
        };
        assert!(matches!(message.event, Event::Ended));
        assert_eq!(backlog.lost.load(Ordering::Relaxed), 2);
    }
}
