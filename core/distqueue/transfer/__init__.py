"""Export and import: a store's tasks as JSON lines, written while the store is in use.

An export begins with a header, then has for each queue its pause, its tasks in the order of
publishing and the ids that are remembered, and ends with a closing line that counts them::

    {"distqueue_export":1}
    {"paused":"emails"}
    {"task":{"task_id":"1","queue":"emails","state":"ready","data":{"to":"a@example.org"},"number":1,...}}
    {"remembered":{"task_id":"0","queue":"emails","at":1767225600.0,"checksum":3204,"settled":"ack"}}
    {"end":{"tasks":1,"remembered":1,"paused":1}}

:func:`distqueue.transfer.exporting.export_store` writes one,
:func:`distqueue.transfer.importing.import_store` reads it.
"""
