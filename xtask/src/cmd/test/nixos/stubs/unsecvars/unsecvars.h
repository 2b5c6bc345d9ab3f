/* Variables that a program with more rights must not take from its caller: the names that ld.so(8) lists under
   "Secure-execution mode", each with its end. */
#define UNSECURE_ENVVARS \
  "GCONV_PATH\0" "GETCONF_DIR\0" "GLIBC_TUNABLES\0" "HOSTALIASES\0" "LD_AUDIT\0" "LD_BIND_NOT\0" "LD_BIND_NOW\0" \
  "LD_DEBUG\0" "LD_DEBUG_OUTPUT\0" "LD_DYNAMIC_WEAK\0" "LD_LIBRARY_PATH\0" "LD_ORIGIN_PATH\0" "LD_PRELOAD\0" \
  "LD_PROFILE\0" "LD_PROFILE_OUTPUT\0" "LD_SHOW_AUXV\0" "LD_VERBOSE\0" "LD_WARN\0" "LOCALDOMAIN\0" "LOCPATH\0" \
  "MALLOC_TRACE\0" "NIS_PATH\0" "NLSPATH\0" "RESOLV_HOST_CONF\0" "RES_OPTIONS\0" "TMPDIR\0" "TZDIR\0"
