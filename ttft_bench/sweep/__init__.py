"""The sweep: plan (pure), picks (the selection stage), runner (finetuning tasks), store (results)."""
