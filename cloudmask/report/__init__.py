"""Evidence to picture: logs, an evaluation and scenes become one page that anybody can open."""
