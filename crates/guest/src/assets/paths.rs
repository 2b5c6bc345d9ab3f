//! The paths of a base's programs.

/// The paths of programs that units refer to. All are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The program `rave-guest`; `@rave_guest@`.
    pub rave_guest: String,
    /// The folder of the npm tools' `node_modules` and `bin`; `@tools@`.
    pub tools: String,
    /// Node.js; `@node@`.
    pub node: String,
    /// nginx; `@nginx@`.
    pub nginx: String,
    /// The gateway's static pages; `@pages@`.
    pub pages: String,
    /// Starts a session on the X server, with the session's command as arguments; `@xsession@`.
    pub xsession: String,
    /// The VNC server for an existing screen; `@vnc_server@`.
    pub vnc_server: String,
    /// Chromium, for Playwright.
    pub chromium: String,
    /// The search path of services, without the user's own folder; part of `@path@`.
    pub path: String,
}

impl Paths {
    /// The Debian base.
    pub fn debian() -> Self {
        Self {
            rave_guest: "/usr/lib/rave/rave-guest".into(),
            tools: "/opt/rave/tools".into(),
            node: "/usr/bin/node".into(),
            nginx: "/usr/sbin/nginx".into(),
            pages: "/usr/lib/rave/pages".into(),
            xsession: "/etc/X11/Xsession".into(),
            vnc_server: "/usr/bin/X0tigervnc".into(),
            chromium: "/usr/bin/chromium".into(),
            path: "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin".into(),
        }
    }
}
