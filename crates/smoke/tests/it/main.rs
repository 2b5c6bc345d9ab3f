//! The report as its readers see it: by its schema, and in a browser.

mod browser;
mod page;
mod samples;
mod schema;
