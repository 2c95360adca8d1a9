environment = "production"
partner_id  = "5f51bfe2-d08a-4b43-9d5c-405fd2f2ede6"
