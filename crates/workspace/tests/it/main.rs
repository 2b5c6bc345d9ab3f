//! Workspaces with a guest in this process: the code of `rave-guest`, in a folder.

mod apply;
mod attacks;
mod copy;
mod fixture;
mod history;
mod push;
mod record;
mod secrets;
