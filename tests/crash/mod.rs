//! The books when things go wrong: a killed process, a slow or failing disk, a damaged or foreign data folder.

mod kill;
mod stall;
