;; A core module of WASI preview 1. Its first argument after the name says what it does:
;; a: prints arguments and environment; c: exits with 42; f: prints the file `note` of the first mounted folder, or `error <errno>`;
;; w: writes that file; t: traps; s: never ends; m: grows its memory without end; h: writes 100,000 bytes without a line's end.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 4)
  (data (i32.const 64) "note")
  (data (i32.const 72) "error")
  (data (i32.const 80) "written")

  (func $print (param $to i32) (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8))))

  ;; Strings that end with 0 become lines.
  (func $lines (param $at i32) (param $length i32)
    (local $end i32) (local $byte i32)
    (local.set $byte (local.get $at))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (loop $next
      (if (i32.ge_u (local.get $byte) (local.get $end)) (then (call $print (i32.const 1) (local.get $at) (local.get $length)) (return)))
      (if (i32.eqz (i32.load8_u (local.get $byte))) (then (i32.store8 (local.get $byte) (i32.const 10))))
      (local.set $byte (i32.add (local.get $byte) (i32.const 1)))
      (br $next)))

  ;; Opens `note` below the first preopened folder (3). 0: it went wrong, which was said.
  (func $note (param $oflags i32) (param $rights i64) (result i32)
    (local $error i32)
    (local.set $error (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4) (local.get $oflags)
      (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 16)))
    (if (local.get $error)
      (then (call $print (i32.const 2) (i32.const 72) (i32.const 5)) (call $exit (local.get $error))))
    (i32.load (i32.const 16)))

  (func (export "_start")
    (local $what i32) (local $file i32)
    (drop (call $args_sizes (i32.const 20) (i32.const 24)))
    (drop (call $args (i32.const 1024) (i32.const 4096)))
    (local.set $what (i32.load8_u (i32.load (i32.const 1028))))
    (if (i32.eq (local.get $what) (i32.const 97)) ;; a
      (then
        (drop (call $env_sizes (i32.const 28) (i32.const 32)))
        (drop (call $env (i32.const 2048) (i32.const 8192)))
        (call $lines (i32.const 4096) (i32.load (i32.const 24)))
        (call $lines (i32.const 8192) (i32.load (i32.const 32)))))
    (if (i32.eq (local.get $what) (i32.const 99)) (then (call $exit (i32.const 42)))) ;; c
    (if (i32.eq (local.get $what) (i32.const 102)) ;; f
      (then
        (local.set $file (call $note (i32.const 0) (i64.const 2)))
        (i32.store (i32.const 0) (i32.const 16384))
        (i32.store (i32.const 4) (i32.const 4096))
        (drop (call $fd_read (local.get $file) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $print (i32.const 1) (i32.const 16384) (i32.load (i32.const 8)))))
    (if (i32.eq (local.get $what) (i32.const 119)) ;; w
      (then
        (local.set $file (call $note (i32.const 1) (i64.const 64)))
        (call $print (local.get $file) (i32.const 80) (i32.const 7))))
    (if (i32.eq (local.get $what) (i32.const 116)) (then unreachable)) ;; t
    (if (i32.eq (local.get $what) (i32.const 115)) (then (loop $spin (br $spin)))) ;; s
    (if (i32.eq (local.get $what) (i32.const 109)) (then (loop $more (drop (memory.grow (i32.const 16))) (br $more)))) ;; m
    (if (i32.eq (local.get $what) (i32.const 104)) ;; h
      (then (memory.fill (i32.const 65536) (i32.const 120) (i32.const 100000)) (call $print (i32.const 1) (i32.const 65536) (i32.const 100000)))))
)
