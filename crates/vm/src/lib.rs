//! rave-vm.
