# The npm tools of the committed lock: a fixed-output derivation for each package, with the hash of the lock, fetched by npm
# from its configured registry and unpacked without running install scripts.
{
  lib,
  stdenvNoCC,
  stdenv,
  nodejs,
  cacert,
  unzip,
  autoPatchelfHook,
  zlib,
  writeText,
  linkFarm,
  withPlaywright ? true,
  # Otherwise the machine installs Claude Code when it first has a network.
  withClaude ? true,
}:
let
  assets = import ../lib/assets.nix { inherit lib; };
  inherit ((lib.importJSON ../facts.json).tools) commands zipped prune ofFeatures claude;

  lock = lib.importJSON (assets.path "npm/package-lock.json");
  leftOut = lib.optionals (!withPlaywright) (
    map (of: "node_modules/${of.package}") (lib.filter (of: of.feature == "playwright") ofFeatures)
  ) ++ lib.optionals (!withClaude) (map (package: "node_modules/${package}") claude.packages);
  # The selection of `npm ci --omit=dev --os=linux --cpu=x64 --libc=glibc`.
  fits = entry: field: word: !(entry ? ${field}) || lib.elem word entry.${field};
  chosen =
    path: entry:
    path != ""
    # Part of another package's archive.
    && !(entry.inBundle or false)
    && !(entry.dev or false)
    && fits entry "os" "linux"
    && fits entry "cpu" "x64"
    && fits entry "libc" "glibc"
    && !lib.elem path leftOut;
  packages = lib.filterAttrs chosen lock.packages;

  nameOf = path: lib.last (lib.splitString "node_modules/" path);
  fetch =
    path: entry:
    let
      name = entry.name or (nameOf path);
    in
    stdenvNoCC.mkDerivation {
      pname = "rave-npm-${baseNameOf name}";
      inherit (entry) version;
      outputHash = entry.integrity;
      outputHashMode = "flat";
      nativeBuildInputs = [ nodejs ];
      dontUnpack = true;
      env.SSL_CERT_FILE = "${cacert}/etc/ssl/certs/ca-bundle.crt";
      impureEnvVars = lib.fetchers.proxyImpureEnvVars;
      buildPhase = ''
        export HOME=$TMPDIR
        mkdir packed
        npm pack --ignore-scripts --pack-destination packed ${lib.escapeShellArg "${name}@${entry.version}"}
      '';
      installPhase = "mv packed/*.tgz $out";
      dontFixup = true;
      meta.license =
        if lib.hasPrefix "SEE LICENSE" (entry.license or "") then lib.licenses.unfree else lib.licenses.free;
    };

  ccr = assets.read "npm/ccr";
  held = lib.filter (
    command: !lib.any (folder: lib.hasPrefix "${folder}/" command.program) leftOut
  ) (map (command: command // lib.optionalAttrs (!withClaude && command.name == "claude") { program = claude.launcher; }) commands);
in
stdenv.mkDerivation (final: {
  pname = "rave-tools";
  inherit ((lib.importTOML ../../Cargo.toml).workspace.package) version;
  dontUnpack = true;
  nativeBuildInputs = [ autoPatchelfHook nodejs unzip ];
  buildInputs = [ stdenv.cc.cc.lib zlib nodejs ];
  # Claude Code's program has its script appended.
  dontStrip = true;
  # Modules for another C library are left alone.
  autoPatchelfIgnoreMissingDeps = [ "libc.musl-*" ];

  installPhase = ''
    runHook preInstall
    mkdir -p $out/bin
    ${lib.concatStrings (
      lib.mapAttrsToList (path: entry: ''
        mkdir -p $out/${path}
        tar --extract --gzip --strip-components 1 --no-same-owner --mode u+w --directory $out/${path} \
          --file ${fetch path entry}
      '') packages
    )}
    ${lib.concatMapStrings (zip: ''
      unzip -p $out/${zip.zip} ${zip.member} > $out/${zip.to}
      chmod 755 $out/${zip.to}
    '') zipped}
    ${lib.concatMapStrings (
      pattern:
      if lib.hasPrefix "*" pattern then
        "find $out/node_modules -type f -name ${lib.escapeShellArg pattern} -delete\n"
      else
        "rm -rf $out/${pattern}\n"
    ) prune}
    substitute ${writeText "ccr" ccr} $out/bin/ccr --replace-fail @node@ ${lib.getExe nodejs} --replace-fail @tools@ $out
    ${lib.optionalString (!withClaude) ''
      substitute ${assets.path "npm/claude"} $out/${claude.launcher} --replace-fail @claude@ ${claude.program}
    ''}
    chmod 755 $out/bin/ccr ${lib.concatMapStringsSep " " (command: "$out/${command.program}") held}
    cp ${assets.path "npm/package.json"} $out/package.json
    cp ${assets.path "npm/package-lock.json"} $out/package-lock.json
    runHook postInstall
  '';

  passthru.commands = linkFarm "rave-tools-commands" (
    map (command: {
      name = "bin/${command.name}";
      path = "${final.finalPackage}/${command.program}";
    }) held
  );
  meta = {
    description = "The locked npm tools of RAVE's guests";
    platforms = [ "x86_64-linux" ];
  };
})
