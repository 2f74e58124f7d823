"""Workers: a parent that claims, renews and settles, and children that run the handlers.

The parent (:mod:`distqueue.worker.worker`) never imports the app: what the app is, it hears from its
children (:mod:`distqueue.worker.child`), which it tells what to run. So a handler that keeps the interpreter
busy, leaks or crashes is its child's affair, and leases are renewed whatever it does.
"""
