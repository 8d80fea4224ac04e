"""What you type: one module per dataset or tool. `invoke dev.new NAME --like region` adds one."""
