-- An mcp_chat database of another chat back end; its times are of Shanghai.
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, PRIMARY KEY (version_num));
CREATE TABLE users (
    id INT NOT NULL AUTO_INCREMENT COMMENT '用户ID',
    username VARCHAR(50) NOT NULL COMMENT '用户名', email VARCHAR(100) NOT NULL COMMENT '邮箱',
    hashed_password VARCHAR(200) NOT NULL COMMENT '100% 加密', is_active BOOL DEFAULT TRUE, is_superuser BOOL DEFAULT FALSE,
    avatar VARCHAR(200), phone VARCHAR(20), full_name VARCHAR(100),
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    PRIMARY KEY (id), UNIQUE KEY username (username), UNIQUE KEY email (email), UNIQUE KEY phone (phone)
) DEFAULT CHARSET=utf8mb4 COMMENT='用户表';
CREATE TABLE chat_sessions (
    id INT NOT NULL AUTO_INCREMENT, title VARCHAR(200) NOT NULL, user_id INT NOT NULL, session_data JSON,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, is_active BOOL NOT NULL DEFAULT TRUE,
    PRIMARY KEY (id), KEY user_id (user_id), CONSTRAINT chat_sessions_ibfk_1 FOREIGN KEY (user_id) REFERENCES users (id)
) DEFAULT CHARSET=utf8mb4;
CREATE TABLE chat_messages (
    id INT NOT NULL AUTO_INCREMENT, session_id INT NOT NULL, message_type ENUM('user','assistant','system') NOT NULL,
    content TEXT NOT NULL, message_metadata JSON, created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, is_active BOOL NOT NULL DEFAULT TRUE,
    PRIMARY KEY (id), KEY idx_session (session_id), KEY idx_type (message_type),
    CONSTRAINT chat_messages_ibfk_1 FOREIGN KEY (session_id) REFERENCES chat_sessions (id)
) DEFAULT CHARSET=utf8mb4;
CREATE TABLE mcp_servers (
    id INT NOT NULL AUTO_INCREMENT, name VARCHAR(100) NOT NULL, description TEXT, host VARCHAR(200) NOT NULL,
    port INT NOT NULL, status ENUM('online','offline','maintenance') DEFAULT 'offline', capabilities JSON,
    server_metadata JSON, response_time FLOAT, success_rate FLOAT, server_load FLOAT,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    PRIMARY KEY (id), KEY idx_host_port (host, port), KEY idx_status (status)
) DEFAULT CHARSET=utf8mb4;
CREATE TABLE server_calls (
    id INT NOT NULL AUTO_INCREMENT, server_id INT NOT NULL, session_id INT NOT NULL, message_id INT NOT NULL,
    request_data JSON NOT NULL, response_data JSON,
    status ENUM('success','failed','timeout','in_progress') NOT NULL, error_message TEXT, response_time FLOAT,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    PRIMARY KEY (id), KEY idx_server (server_id), KEY idx_session (session_id), KEY idx_message (message_id),
    KEY idx_status (status), CONSTRAINT server_calls_ibfk_1 FOREIGN KEY (server_id) REFERENCES mcp_servers (id),
    CONSTRAINT server_calls_ibfk_2 FOREIGN KEY (session_id) REFERENCES chat_sessions (id),
    CONSTRAINT server_calls_ibfk_3 FOREIGN KEY (message_id) REFERENCES chat_messages (id)
) DEFAULT CHARSET=utf8mb4;
INSERT INTO alembic_version VALUES ('3f2a9c1b7d04');
INSERT INTO users VALUES
    (1, 'wangwei', 'wangwei@example.cn', '$2b$12$abc\\%''"', 1, 1, NULL, '13800000000', '王伟', '2025-01-02 03:04:05', '2025-02-03 04:05:06'),
    (2, 'Bob', 'bob@example.org', 'x', NULL, 0, 'https://example.org/é.png', NULL, 'Bób 😀', '2025-01-03 00:00:00', '2025-01-03 00:00:00');
INSERT INTO chat_sessions VALUES
    (1, '天气 ☀️', 1, '{"主题": "天气", "n": 1.5}', '2025-03-01 08:00:00', '2025-03-02 09:00:00', 1),
    (2, '', 2, NULL, '2025-03-01 08:00:00', '2025-03-01 08:00:00', 0),
    (9, 'whose user is gone', 77, NULL, '2025-03-05 08:00:00', '2025-03-05 08:00:00', 1);
INSERT INTO chat_messages VALUES
    (1, 1, 'user', '北京今天的天气怎么样？', NULL, '2025-03-01 08:00:01', '2025-03-01 08:00:01', 1),
    (2, 1, 'assistant', 'It''s 20 °C\n\t"sunny" \\o/ %s', '{"tokens": 12}', '2025-03-01 08:00:02', '2025-03-01 08:00:02', 1),
    (9, 88, 'system', 'whose session is gone', NULL, '2025-03-01 08:00:02', '2025-03-01 08:00:02', 1);
INSERT INTO mcp_servers VALUES
    (1, '天气服务', '查询天气', 'weather.internal', 8001, 'online', '{"tools": ["天气"]}', NULL, 12.345, 0.99, 0.1, '2025-01-01 00:00:00', '2025-03-04 05:06:07'),
    (2, 'docs', NULL, '10.0.0.2', 8002, 'offline', NULL, NULL, NULL, NULL, NULL, '2025-01-01 00:00:00', '2025-01-01 00:00:00'),
    (3, 'docs', NULL, '10.0.0.3', 8002, 'maintenance', NULL, NULL, NULL, NULL, NULL, '2025-01-01 00:00:00', '2025-01-01 00:00:00');
INSERT INTO server_calls VALUES
    (1, 1, 1, 1, '{"城市": "北京"}', '{"温度": 20}', 'success', NULL, 250.5, '2025-03-01 08:00:01', '2025-03-01 08:00:02'),
    (2, 2, 1, 2, '[]', NULL, 'failed', 'boom', NULL, '2025-03-01 08:00:03', '2025-03-01 08:00:03'),
    (3, 3, 2, 9, '{}', NULL, 'timeout', NULL, 30000, '2024-07-01 12:00:00', '2024-07-01 12:00:30'),
    (4, 66, 9, 9, '{}', NULL, 'in_progress', NULL, NULL, '2025-03-01 08:00:05', '2025-03-01 08:00:05');
