//! Counts the callbacks of an instance and measures their time. It is used only if there are statistics, so that nothing is measured
//! otherwise.

use std::rc::Rc;
use std::time::Instant;

use crate::context::{Context, Services};
use crate::engine::{Callback, Instance, Trap};
use crate::vocabulary::Action;

/// An instance whose callbacks are counted. Creating and ending plugins and streams are not callbacks.
struct Counted {
    instance: Box<dyn Instance>,
    services: Rc<Services>,
}

/// Returns the instance, and counts its callbacks if there are statistics.
pub(super) fn count_callbacks(
    instance: Box<dyn Instance>,
    services: &Rc<Services>,
) -> Box<dyn Instance> {
    match services.stats {
        None => instance,
        Some(_) => Box::new(Counted {
            instance,
            services: services.clone(),
        }),
    }
}

impl Instance for Counted {
    fn configure(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap> {
        self.instance.configure(context, configuration)
    }

    fn open_stream(&mut self, context: &Context) -> Result<usize, Trap> {
        self.instance.open_stream(context)
    }

    fn call(&mut self, context: &Context, callback: Callback) -> Result<Action, Trap> {
        let begun = Instant::now();
        let result = self.instance.call(context, callback);
        if let Some(stats) = &self.services.stats {
            stats.add_callback(context.plugin, begun.elapsed());
        }
        result
    }

    fn close_stream(&mut self, context: &Context) -> Result<(), Trap> {
        self.instance.close_stream(context)
    }

    fn shut_down(&mut self, context: &Context) -> Result<(), Trap> {
        self.instance.shut_down(context)
    }

    fn refuel(&mut self) {
        self.instance.refuel();
    }

    fn consumed_fuel(&self) -> Option<u64> {
        self.instance.consumed_fuel()
    }
}
