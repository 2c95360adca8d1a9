environment = "staging"
partner_id  = "0f0b7a4e-3f4e-4a36-8d4f-2f5c1b8b1f53"
tokens      = "/run/tokend/staging"
