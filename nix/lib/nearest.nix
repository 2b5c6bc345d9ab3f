# The nearest valid name, for "did you mean": crates/spec/src/nearest.rs.
{ lib }:
let
  # Optimal string alignment: inserts, deletes, replacements and swaps of neighbours.
  distance =
    one: other:
    let
      a = lib.stringToCharacters one;
      b = lib.stringToCharacters other;
      at = lib.elemAt;
      row =
        { before, last }:
        i:
        let
          cell =
            done: j:
            let
              same = if at a i == at b j then 0 else 1;
              plain = lib.foldl' lib.min (at last j + same) [
                (at last (j + 1) + 1)
                (lib.last done + 1)
              ];
              swapped = i > 0 && j > 0 && at a i == at b (j - 1) && at a (i - 1) == at b j;
            in
            done ++ [ (if swapped then lib.min plain (at before (j - 1) + 1) else plain) ];
        in
        {
          before = last;
          last = lib.foldl' cell [ (i + 1) ] (lib.range 0 (lib.length b - 1));
        };
      first = lib.range 0 (lib.length b);
    in
    lib.last
      (lib.foldl' row {
        before = first;
        last = first;
      } (lib.range 0 (lib.length a - 1))).last;

  fold = word: lib.replaceStrings [ "_" ] [ "-" ] (lib.toLower word);
in
{
  # Near is at most one edit for each three characters of the word, and at least one. Of equals the first wins.
  nearest =
    word: candidates:
    let
      allowed = lib.max 1 (lib.stringLength word / 3);
      scored = map (candidate: {
        inherit candidate;
        far = distance (fold word) (fold candidate);
      }) candidates;
      near = lib.filter (
        score: score.far <= allowed && score.far < lib.stringLength score.candidate
      ) scored;
      least = lib.foldl' (best: score: if best == null || score.far < best.far then score else best) null near;
    in
    if least == null then null else least.candidate;

  # `a`, `a or b`, `a, b or c`.
  oneOf =
    names:
    if lib.length names < 2 then
      lib.concatStrings names
    else
      "${lib.concatStringsSep ", " (lib.init names)} or ${lib.last names}";
}
