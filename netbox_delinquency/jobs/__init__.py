"""Every background job. NetBox's own worker serves the system jobs, the others are served by
`netbox rqworker netbox_delinquency.enforce netbox_delinquency.restore`.

Empty, so that what starts runs may be imported without the jobs that call it; `ready()` imports each.
"""
