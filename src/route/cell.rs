//! Cell with the route table in force, which a reload of the configuration replaces. Reading takes no lock; a request keeps the table
//! that it began with.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::route::table::RouteTable;

#[derive(Debug)]
pub struct RouteCell(ArcSwap<RouteTable>);

impl RouteCell {
    pub fn new(table: RouteTable) -> RouteCell {
        RouteCell(ArcSwap::from_pointee(table))
    }

    pub fn load(&self) -> Guard<Arc<RouteTable>> {
        self.0.load()
    }

    /// The table as an owned reference, for longer use.
    pub fn load_full(&self) -> Arc<RouteTable> {
        self.0.load_full()
    }

    /// Puts a table in force. Cooldowns and measured latencies of its deployments begin anew.
    pub fn replace(&self, table: RouteTable) {
        self.0.store(Arc::new(table));
    }
}
