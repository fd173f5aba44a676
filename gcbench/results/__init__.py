"""Published numbers (`published/`, with table and page) and measured ones (`measured/`, ours). Data only."""
